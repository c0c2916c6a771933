import { describeMatrix } from './matrix.js';

describeMatrix(17);
