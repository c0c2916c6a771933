import { describeMatrix } from './matrix.js';

describeMatrix(16);
