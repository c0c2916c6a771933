/** Which data files are worth writing anew together; pure. */

export interface CompactableFile {
  /** Only files of one partition can be written anew together. */
  readonly partition: string;
  readonly sizeBytes: number;
  /** Deleted ones too; null where it is not known. */
  readonly rows: number | null;
  readonly deletedRows: number;
}

export interface CompactionSettings {
  /** How large a file is meant to be. */
  readonly targetBytes: number;
  /** A file with less than this of live rows is small. */
  readonly smallBytes: number;
  /** A file with more than this part of its rows deleted is written anew, whatever its size. */
  readonly deletedRatio: number;
  /**
   * How large the others of a merge have to be together for a file to be worth copying once more, as a part of its own
   * size. With 0.5 what is copied ends up in a file at least half as large again, so that a row is copied a number of times
   * that grows with the logarithm of its table; 0: every merge is worth it.
   */
  readonly minGrowth: number;
}

export interface CompactionBin<File> {
  readonly files: readonly File[];
  /** What is to be written, as far as the files' sizes tell. */
  readonly liveBytes: number;
}

interface Weighed<File> {
  readonly file: File;
  readonly liveBytes: number;
  readonly deletedPart: number;
  readonly isDecayed: boolean;
}

/**
 * Packs small files and files with many deleted rows into new ones of the target's size, each partition's by themselves, what
 * is gained most cheaply first.
 * A file is in one bin at most; a bin holds at least two files or one with too many deleted rows, and no more than the target
 * unless a single file does.
 */
export function planCompaction<File extends CompactableFile>(
  files: readonly File[],
  settings: CompactionSettings,
): CompactionBin<File>[] {
  const { smallBytes, targetBytes } = settings;
  const candidates = files
    .map((file) => weigh(file, settings))
    .filter(({ liveBytes, isDecayed }) => isDecayed || liveBytes < smallBytes)
    .toSorted((a, b) => b.liveBytes - a.liveBytes);
  return [...byPartition(candidates).values()]
    .flatMap((own) => packed(own, targetBytes))
    .map((bin) => worthwhile(bin, settings.minGrowth))
    .filter((bin) => bin.length > 1 || bin.some(({ isDecayed }) => isDecayed))
    .toSorted((a, b) => gainPerByte(b) - gainPerByte(a))
    .map((bin) => ({ files: bin.map(({ file }) => file), liveBytes: total(bin) }));
}

function byPartition<File extends CompactableFile>(files: readonly Weighed<File>[]): Map<string, Weighed<File>[]> {
  const partitions = new Map<string, Weighed<File>[]>();
  for (const weighed of files) {
    const own = partitions.get(weighed.file.partition);
    if (own === undefined) partitions.set(weighed.file.partition, [weighed]);
    else own.push(weighed);
  }
  return partitions;
}

/** Whether a file counts as small, for whoever tells people of a table. */
export function isSmall(file: CompactableFile, smallBytes: number): boolean {
  return liveBytes(file) < smallBytes;
}

function weigh<File extends CompactableFile>(file: File, { deletedRatio }: CompactionSettings): Weighed<File> {
  const deletedPart = file.rows === null || file.rows === 0 ? 0 : file.deletedRows / file.rows;
  return { file, liveBytes: liveBytes(file), deletedPart, isDecayed: deletedPart > deletedRatio };
}

function liveBytes({ sizeBytes, rows, deletedRows }: CompactableFile): number {
  return rows === null || rows === 0 ? sizeBytes : Math.ceil((sizeBytes * (rows - deletedRows)) / rows);
}

/** First fit, the largest first: no two bins that would fit into one. */
function packed<File>(descending: readonly Weighed<File>[], targetBytes: number): Weighed<File>[][] {
  const bins: { files: Weighed<File>[]; bytes: number }[] = [];
  for (const weighed of descending) {
    const bin = bins.find(({ bytes }) => bytes + weighed.liveBytes <= targetBytes);
    if (bin === undefined) {
      bins.push({ files: [weighed], bytes: weighed.liveBytes });
    } else {
      bin.files.push(weighed);
      bin.bytes += weighed.liveBytes;
    }
  }
  return bins.map(({ files }) => files);
}

/** Leaves files out, the largest first, that would be copied for the sake of too little. */
function worthwhile<File>(bin: readonly Weighed<File>[], minGrowth: number): Weighed<File>[] {
  let bytes = total(bin);
  return bin.filter(({ liveBytes: own, isDecayed }) => {
    if (isDecayed || bytes - own >= minGrowth * own) return true;
    bytes -= own;
    return false;
  });
}

/** Files and parts of files that go, for each byte that is written. */
function gainPerByte(bin: readonly Weighed<unknown>[]): number {
  const gain = bin.length - 1 + bin.reduce((sum, { deletedPart }) => sum + deletedPart, 0);
  return gain / Math.max(1, total(bin));
}

function total(bin: readonly Weighed<unknown>[]): number {
  return bin.reduce((sum, weighed) => sum + weighed.liveBytes, 0);
}
