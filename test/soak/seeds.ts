/**
 * How long a soak goes on: `SLUICE_SOAK_RUNS` seeded runs of each suite (100), beginning with `SLUICE_SEED` (random). A
 * failure names its seed, which the suite itself takes too.
 */
export const RUNS = Number(process.env['SLUICE_SOAK_RUNS'] ?? 100);
export const FIRST_SEED = Number(process.env['SLUICE_SEED'] ?? Math.floor(Math.random() * 2 ** 30));
/** No run takes as long on its own, not on a machine that is busy with the other suite either. */
export const RUN_MS = 240_000;

export const SEEDS: readonly number[] = Array.from({ length: RUNS }, (_, run) => FIRST_SEED + run);
