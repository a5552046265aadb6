// Walks through what the official JavaScript client can ask for, and checks what it sees.
import assert from 'node:assert/strict';

import { AppsV1Api, CoreV1Api, KubeConfig, PatchStrategy, VersionApi, Watch, makeInformer, setHeaderOptions } from '@kubernetes/client-node';

const config = new KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(CoreV1Api);
const apps = config.makeApiClient(AppsV1Api);

const configMap = (name, colour) => ({ metadata: { name, labels: { colour } }, data: { a: '1' } });
const refused = (status, asked) => assert.rejects(asked, (error) => error.code === status);

// 25 objects in pages of 10, all as of one version.
async function pages(namespace) {
  for (let index = 0; index < 25; index++) {
    const body = configMap(`page-${String(index).padStart(2, '0')}`, ['red', 'blue'][index % 2]);
    await core.createNamespacedConfigMap({ namespace, body });
  }
  const names = [];
  const versions = new Set();
  let token;
  do {
    const page = await core.listNamespacedConfigMap({ namespace, limit: 10, _continue: token });
    names.push(...page.items.map((item) => item.metadata.name).filter((name) => name.startsWith('page-')));
    versions.add(page.metadata.resourceVersion);
    token = page.metadata._continue;
  } while (token);
  assert.equal(names.length, 25);
  assert.equal(names[24], 'page-24');
  assert.equal(versions.size, 1);
}

// What a watch says, until `count` events were seen.
function events(path, query, count) {
  return new Promise((resolve, reject) => {
    const seen = [];
    let stop;
    new Watch(config)
      .watch(path, query, (type) => seen.push(type) === count && stop.abort(), (error) => (seen.length >= count ? resolve(seen) : reject(error ?? new Error('the watch ended'))))
      .then((controller) => (stop = controller), reject);
  });
}

async function watches(namespace) {
  const path = `/api/v1/namespaces/${namespace}/configmaps`;
  const { metadata } = await core.listNamespacedConfigMap({ namespace });
  const made = await core.createNamespacedConfigMap({ namespace, body: configMap('watched', 'green') });
  await core.replaceNamespacedConfigMap({ namespace, name: 'watched', body: { ...made, data: { a: '2' } } });
  await core.deleteNamespacedConfigMap({ namespace, name: 'watched' });
  assert.deepEqual(await events(path, { resourceVersion: metadata.resourceVersion }, 3), ['ADDED', 'MODIFIED', 'DELETED']);
  assert.deepEqual(await events(path, { resourceVersion: made.metadata.resourceVersion }, 2), ['MODIFIED', 'DELETED']);
  const list = { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan', allowWatchBookmarks: true, labelSelector: 'colour=blue' };
  assert.deepEqual(await events(path, list, 13), [...Array(12).fill('ADDED'), 'BOOKMARK']);
}

async function informs(namespace) {
  const list = () => core.listNamespacedConfigMap({ namespace });
  const informer = makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`, list);
  const late = new Promise((resolve) => informer.on('add', (found) => found.metadata.name === 'late' && resolve()));
  const gone = new Promise((resolve) => informer.on('delete', (found) => resolve(found.metadata.name)));
  await informer.start();
  await core.createNamespacedConfigMap({ namespace, body: configMap('late', 'green') });
  await late;
  await core.deleteNamespacedConfigMap({ namespace, name: 'late' });
  assert.equal(await gone, 'late');
  assert.equal(informer.get('page-00', namespace).data.a, '1');
  await informer.stop();
}

async function patches(namespace) {
  const labels = { app: 'web' };
  const containers = [{ name: 'main', image: 'registry.example/main:1' }];
  const body = { metadata: { name: 'web' }, spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers } } } };
  const made = await apps.createNamespacedDeployment({ namespace, body });
  assert.deepEqual([made.spec.replicas, made.metadata.generation], [1, 1]);
  const patch = (strategy, body) =>
    apps.patchNamespacedDeployment({ namespace, name: 'web', body, fieldManager: 'js' }, setHeaderOptions('Content-Type', strategy));
  const side = [{ name: 'side', image: 'registry.example/side:1' }];
  const names = (found) => found.spec.template.spec.containers.map((container) => container.name);
  assert.deepEqual(names(await patch(PatchStrategy.StrategicMergePatch, { spec: { template: { spec: { containers: side } } } })), ['side', 'main']);
  assert.deepEqual(names(await patch(PatchStrategy.JsonPatch, [{ op: 'remove', path: '/spec/template/spec/containers/0' }])), ['main']);
  assert.equal((await patch(PatchStrategy.MergePatch, { spec: { replicas: 3 } })).spec.replicas, 3);
  const applied = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' }, spec: { replicas: 4 } };
  await refused(409, patch(PatchStrategy.ServerSideApply, { ...applied, spec: { ...applied.spec, paused: true, template: { spec: { containers } }, replicas: 5 } }));
  const scale = await apps.readNamespacedDeploymentScale({ namespace, name: 'web' });
  assert.deepEqual([scale.spec.replicas, scale.status.selector], [3, 'app=web']);
}

async function refusals(namespace) {
  await refused(404, core.readNamespacedConfigMap({ namespace, name: 'nothing' }));
  await refused(409, core.createNamespacedConfigMap({ namespace, body: configMap('page-00') }));
  await refused(422, core.createNamespacedConfigMap({ namespace, body: configMap('Not A Name') }));
}

assert.equal((await config.makeApiClient(VersionApi).getCode()).minor, '37');
const { metadata } = await core.createNamespace({ body: { metadata: { generateName: 'javascript-' } } });
const namespace = metadata.name;
await pages(namespace);
await watches(namespace);
await informs(namespace);
await patches(namespace);
await refusals(namespace);
await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector: 'colour=blue' });
assert.equal((await core.listNamespacedConfigMap({ namespace, labelSelector: 'colour' })).items.length, 13);
const query = { fieldSelector: `metadata.name=${namespace}`, resourceVersion: (await core.listNamespace()).metadata.resourceVersion };
const ended = events('/api/v1/namespaces', query, 2);
await core.deleteNamespace({ name: namespace });
await ended;
console.log('javascript: all is as it should be');
