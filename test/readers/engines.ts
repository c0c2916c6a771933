import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { ReaderEnvironment } from './environment.js';
import type { LakeTable, ReaderAnswer, ReaderName, ReaderReport, S3Access } from './readers.js';

/**
 * The engines, each started when it is first asked and alive until `close`: a start takes seconds, which a suite of many
 * rounds would pay again and again. An engine does one thing after the other; different ones work at the same time.
 */
export class Engines {
  readonly #environment: ReaderEnvironment;
  readonly #s3: S3Access | null;
  readonly #started = new Map<ReaderName, EngineProcess>();

  /** @param s3 of all tables that lie in a bucket */
  constructor(environment: ReaderEnvironment, s3: S3Access | null = null) {
    this.#environment = environment;
    this.#s3 = s3;
  }

  /** Has an engine read tables. @throws Error where it ends */
  async read(
    reader: ReaderName,
    job: { readonly tables: readonly LakeTable[]; readonly dump?: string },
  ): Promise<ReaderReport> {
    const engine = this.#engine(reader);
    const answers = await engine.ask({ do: 'read', tables: job.tables, dump: job.dump ?? null });
    return { startSeconds: await engine.startSeconds, answers: answers.map((line) => parseAnswer(reader, line)) };
  }

  /**
   * Has an engine compact tables, as somebody might who shares the lake.
   * @returns how many files went. @throws Error where a table cannot be compacted
   */
  async compact(engine: 'deltalake' | 'spark', tables: readonly LakeTable[]): Promise<number> {
    let removed = 0;
    for (const line of await this.#engine(engine).ask({ do: 'compact', tables })) {
      if (typeof line['removed'] !== 'number') throw new Error(`${engine} cannot compact: ${JSON.stringify(line)}`);
      removed += line['removed'];
    }
    return removed;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#started.values()].map((engine) => engine.close()));
    this.#started.clear();
  }

  #engine(name: ReaderName): EngineProcess {
    const known = this.#started.get(name);
    if (known !== undefined) return known;
    const started = new EngineProcess(this.#environment, name, this.#s3);
    this.#started.set(name, started);
    return started;
  }
}

/** What is said to engine.py and what it answers; its docstring tells more. */
type Line = Readonly<Record<string, unknown>>;

class EngineProcess {
  readonly startSeconds: Promise<number>;
  readonly #name: ReaderName;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<number | null>;
  #complaint = '';
  /** The end of what was asked before. */
  #turn: Promise<unknown>;

  constructor(environment: ReaderEnvironment, name: ReaderName, s3: S3Access | null) {
    this.#name = name;
    this.#child = spawn(environment.python, [path.join(import.meta.dirname, 'engine.py')], {
      stdio: 'pipe',
      // No compiled files beside the scripts.
      env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
    });
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        this.#complaint += String(error);
        resolve(null);
      });
      this.#child.once('close', resolve);
    });
    this.#child.stderr.on('data', (text: Buffer) => {
      this.#complaint = (this.#complaint + text.toString()).slice(-4_000);
    });
    // Whoever waits for an answer learns of the end by that.
    this.#child.stdin.on('error', () => undefined);
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#say({ engine: name, s3: s3 === null ? null : s3Settings(s3), jars: environment.jars });
    this.startSeconds = this.#next().then(({ start_seconds: seconds }) => Number(seconds));
    this.#turn = this.startSeconds.catch(() => undefined);
  }

  /** @returns the lines of the answer. @throws Error where the process ends instead */
  ask(request: Line): Promise<Line[]> {
    const answer = this.#turn.then(async () => {
      this.#say(request);
      const lines: Line[] = [];
      for (;;) {
        const line = await this.#next();
        if (line['end'] === true) return lines;
        lines.push(line);
      }
    });
    this.#turn = answer.catch(() => undefined);
    return answer;
  }

  async close(): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }

  #say(line: Line): void {
    this.#child.stdin.write(`${JSON.stringify(line)}\n`);
  }

  async #next(): Promise<Line> {
    const { done, value } = await this.#lines.next();
    if (done === true) throw new Error(`${this.#name} ended with ${await this.#ended}: ${this.#complaint}`);
    const line: unknown = JSON.parse(value);
    if (typeof line !== 'object' || line === null) throw new Error(`not an answer of engine.py: ${value}`);
    return { ...line };
  }
}

function s3Settings({ endpoint, region, accessKeyId, secretAccessKey }: S3Access): Line {
  return { endpoint, region, access_key_id: accessKeyId, secret_access_key: secretAccessKey };
}

/** A line of engine.py about one table. */
function parseAnswer(reader: ReaderName, line: Line): ReaderAnswer {
  const { table, error, rows, sha256, seconds }: Line = line;
  if (typeof table === 'string') {
    if (typeof error === 'string') return { reader, table, error };
    if (typeof rows === 'number' && typeof sha256 === 'string' && typeof seconds === 'number') {
      return { reader, table, rows, sha256, seconds };
    }
  }
  throw new Error(`not an answer of ${reader}: ${JSON.stringify(line)}`);
}
