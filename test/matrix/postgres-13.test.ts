import { describeMatrix } from './matrix.js';

describeMatrix(13);
