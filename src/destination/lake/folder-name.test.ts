import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { folderName, nameOfFolder } from './folder-name.js';

const anyName = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  // Names made of what the escape itself is made of.
  fc.string({ unit: fc.constantFrom('-', '_', '.', '2', 'd', '5', 'f', 'e', 'F', 'ä', ' '), maxLength: 8 }),
);

describe('the folder of a name', () => {
  test.each<{ name: string; text: string; folder: string }>([
    { name: 'an ordinary name', text: 'order_items', folder: 'order_items' },
    { name: 'a schema', text: 'public', folder: 'public' },
    { name: 'letters in both cases and digits', text: 'Order2', folder: 'Order2' },
    { name: 'a dot inside', text: 'a.b', folder: 'a.b' },
    { name: 'a hyphen', text: 'my-table', folder: 'my--table' },
    { name: 'a space', text: 'order items', folder: 'order-20items' },
    { name: 'an accent', text: 'straße', folder: 'stra-c3-9fe' },
    { name: 'a percent sign', text: '100%', folder: '100-25' },
    { name: 'a slash', text: 'a/b', folder: 'a-2fb' },
    { name: 'a tilde', text: 'a~', folder: 'a-7e' },
    { name: 'a leading underscore', text: '_hidden', folder: '-5fhidden' },
    { name: 'the log folder', text: '_delta_log', folder: '-5fdelta_log' },
    { name: 'the folder itself', text: '.', folder: '-2e' },
    { name: 'the parent folder', text: '..', folder: '-2e-2e' },
    { name: 'a trailing dot', text: 'a.', folder: 'a-2e' },
    { name: 'the empty name', text: '', folder: '-' },
    { name: 'a quote', text: `o'"x`, folder: 'o-27-22x' },
    { name: 'beyond the first plane', text: '🦆', folder: '-f0-9f-a6-86' },
  ])('$name', ({ text, folder }) => {
    expect(folderName(text)).toBe(folder);
    expect(nameOfFolder(folder)).toBe(text);
  });

  test.each([
    { name: 'nothing', folder: '' },
    { name: 'upper-case hex', folder: 'a-2Fb' },
    { name: 'an escape that is not needed', folder: 'a-61' },
    { name: 'an escape that ends early', folder: 'a-2' },
    { name: 'a hidden folder', folder: '_sluice' },
    { name: 'bytes that are no UTF-8', folder: '-ff' },
    { name: 'a partition folder', folder: 'dt=2026' },
  ])('is not one of ours: $name', ({ folder }) => expect(nameOfFolder(folder)).toBeNull());

  test('is refused where the text is no Unicode', () => expect(() => folderName('a\ud800')).toThrow(/no Unicode/));

  test('holds unreserved ASCII alone, is not hidden, and leads back to the name', () => {
    fc.assert(
      fc.property(anyName, (text) => {
        const folder = folderName(text);
        expect(folder).toMatch(/^[A-Za-z0-9-][A-Za-z0-9._-]*$/);
        expect(nameOfFolder(folder)).toBe(text);
      }),
    );
  });

  test('is another one for another name, also where case is not told apart', () => {
    fc.assert(
      fc.property(anyName, anyName, (a, b) => {
        expect(folderName(a) === folderName(b)).toBe(a === b);
        const asciiLower = (text: string) => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
        expect(folderName(a).toLowerCase() === folderName(b).toLowerCase()).toBe(asciiLower(a) === asciiLower(b));
      }),
    );
  });
});
