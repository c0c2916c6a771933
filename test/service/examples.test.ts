import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { readConfigFile } from '../../src/cli/config-file.js';

const ROOT = path.resolve(import.meta.dirname, '../..');
const readText = (file: string) => readFile(file, 'utf8');

interface Manifest {
  readonly kind: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly replicas: number;
    readonly template: {
      readonly spec: { readonly terminationGracePeriodSeconds: number; readonly containers: readonly Container[] };
    };
  };
}

interface Container {
  readonly args: readonly string[];
  readonly volumeMounts: readonly { readonly mountPath: string }[];
}

test('the Kubernetes example: one replica that may end in order, with a config that is valid', async () => {
  const text = await readText(path.join(ROOT, 'examples/kubernetes/sluice.yaml'));
  const documents = parseAllDocuments(text);
  expect(documents.flatMap((document) => [...document.errors, ...document.warnings])).toEqual([]);
  const manifests = documents.map((document): Manifest => document.toJS());
  expect(manifests.map(({ kind }) => kind)).toEqual(['ConfigMap', 'Secret', 'StatefulSet']);

  const spec = manifests.find(({ kind }) => kind === 'StatefulSet')?.spec;
  expect(spec?.replicas).toBe(1);
  expect(spec?.template.spec.terminationGracePeriodSeconds).toBeGreaterThan(10);
  const container = spec?.template.spec.containers[0];
  expect(container?.args).toEqual(['daemon', '-c', '/etc/sluice/config/sources.yaml']);

  const folder = await mkdtemp(path.join(tmpdir(), 'sluice-kubernetes-'));
  try {
    const file = path.join(folder, 'sources.yaml');
    await writeFile(file, manifests[0]?.data?.['sources.yaml'] ?? '');
    const reading = await readConfigFile(file, { env: {}, cwd: folder, homeDir: folder, readFile: readText });
    if (!reading.ok) expect.fail(reading.text);
    expect(reading.warningText).toBe('');
    const { state, destinations } = reading.config;
    const mounts = container?.volumeMounts.map(({ mountPath }) => mountPath) ?? [];
    expect(mounts).toContain(path.dirname(state.type === 'file' ? state.path : ''));
    expect(destinations['lake']).toMatchObject({ workPath: '/var/lib/sluice/lake' });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('the image runs without rights, and what it copies is there', async () => {
  const dockerfile = await readText(path.join(ROOT, 'examples/docker/Dockerfile'));
  const last = dockerfile.slice(dockerfile.lastIndexOf('FROM '));
  expect(last).toMatch(/^USER 10001$/m);
  const { files } = JSON.parse(await readText(path.join(ROOT, 'package.json'))) as { files: string[] };
  for (const needed of ['dist', 'schema']) {
    expect(files).toContain(needed);
    expect(last).toContain(`COPY --from=build /build/${needed} /opt/sluice/${needed}`);
  }
});
