import { describeMatrix } from './matrix.js';

describeMatrix(15);
