import { conformance } from './conformance.js';
import { startMemoryS3 } from './memory-s3.js';

const KEY = { accessKeyId: 'AKIAMEMORY', secretAccessKey: 'memory-secret' };

conformance('the in-process server', async () => ({ ...KEY, ...(await startMemoryS3({ bucket: 'lake', ...KEY })) }));
