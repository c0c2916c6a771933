import { ByteBuilder } from '../../batch/column-builder.js';
import { ColumnCodec } from './column-codec.js';

const TRUE = 0x74; // t
const FALSE = 0x66; // f

export class BooleanCodec extends ColumnCodec {
  readonly builder: ByteBuilder;

  constructor(rowLimit: number) {
    super('boolean');
    this.builder = new ByteBuilder({ kind: 'boolean' }, rowLimit);
  }

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    if (length !== 1 || bytes[start]! > 1) throw this.malformed(length);
    this.builder.append(bytes[start]!);
    return true;
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    const letter = bytes[start]!;
    if (length !== 1 || (letter !== TRUE && letter !== FALSE)) throw this.malformed(length);
    this.builder.append(letter === TRUE ? 1 : 0);
    return true;
  }
}
