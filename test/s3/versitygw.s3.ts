import { conformance } from './conformance.js';
import { startVersitygw } from './versitygw.js';

conformance(
  'versitygw',
  () => startVersitygw({ bucket: 'lake', accessKeyId: 'conformance', secretAccessKey: 'conformance-secret' }),
  [
    'a quiet deletion of many names all keys',
    'an object cannot lie below another one',
    'an unknown access key is 404 XAdminUserNotFound',
  ],
);
