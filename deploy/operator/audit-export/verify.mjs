#!/usr/bin/env node
// Verifies a bundle of sealed books, or the proof of one write, offline: it needs Node 20 or newer and nothing else. README.txt
// says how it is used and what it proves; docs/seal-format.md of AccuBooks says, byte by byte, what is checked here.
/* oxlint-disable max-lines, no-console -- One file on purpose: whoever is given a bundle runs it as it is. */
import { createHash, createPublicKey, verify as verifySignature } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HELP = `Usage: node verify.mjs [--heads FILE] [--keys FILE] [--as-of TIME] [--company ID] [--accept-epoch N] [--time-stamps DIR] [--json]
       node verify.mjs --proof FILE [--keys FILE] [--json]

Verifies the bundle in the folder of this file, or the proof of one write (GET /api/writes/{key}/proof).

  --heads FILE  heads that you have collected outside, one JSON object a line: each must be on the chain; as often as needed
  --keys FILE   the public keys as you have kept them (a JWK set), used in the place of the bundle's own
  --as-of TIME  heads from outside that were published later (RFC 3339, in UTC) are not asked for: they are told and not compared
  --company ID  heads from outside of other companies are not asked for; as often as needed
  --accept-epoch N   you know why rows were gone when this epoch began: heads that it explains no longer make the exit code 3
  --time-stamps DIR  write the heads that have time stamps, and their tokens, into an empty folder: what this program does
                not check, whose stamps they are, OpenSSL does
  --json        print JSON

Exit code 0: nothing differs. 1: something differs, and the first row is named. 2: it cannot be verified, or heads from
outside could not be compared. 3: nothing differs, but heads are explained by a statement of the operator alone.`;

const FILE = fileURLToPath(import.meta.url);
const FOLDER = dirname(FILE);
const FORMAT = 'accubooks-seal-bundle';
const LOGS = /** @type {const} */ (['journal', 'audit']);
const HEAD_MEMBERS = 10;
const NO_DIGEST = Buffer.alloc(32);
const WRITE_NAMESPACE = Buffer.from('b3977cab3beb4177b624c5471d46253b', 'hex');
const ZEROS = '0'.repeat(64);
const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.(\d{1,9}))?Z$/;
/** In DER: id-ct-TSTInfo (RFC 3161) and SHA-256. */
const TST_INFO = '060b2a864886f70d0109100104';
const SHA256 = '0609608648016503040201';
const GENERALIZED_TIME = /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\.\d+)?Z$/;
const MAX_LINE_BYTES = 64 * 1024 * 1024;
/** Options that may be given more than once. */
const REPEATED = { heads: true, company: true, 'accept-epoch': true };
const ROW_NAMES = { journal: ['entry', 'entries'], audit: ['audit row', 'audit rows'] };

const DIFFERENCES = {
  'row-order': 'this number should follow here, and does not: a row is missing, is here twice, or stands elsewhere',
  'row-missing': 'this row was sealed, and is gone from the books',
  'row-altered': 'this row is not what was sealed',
  'row-foreign': 'this row is of another company, log or write, or has another ID',
  'entry-unbalanced': 'the lines of this entry do not add up to zero',
  'batch-order': 'the batches do not follow one another',
  'epoch-altered': 'the epochs do not fit the batch that begins here: where one goes on from is not what it says',
  'chain-broken':
    'the chain does not lead from the rows before through the batch that begins here: rows were exchanged, moved or sealed anew',
  'tree-broken': 'the tree of the batch that begins here is not that of its rows',
  'head-altered': 'the published head over the rows from here on does not fit them',
  'head-signature': 'the published head over the rows from here on is not signed by a known key',
  'head-time-stamp': 'the time stamp of the published head over the rows from here on is of something else',
  'head-beyond': 'a published head covers rows from here on that are not in the bundle',
  'start-altered': 'the head on which this part of the log follows does not fit it',
  'outside-head': 'a head that was published differs from the rows from here on: they were changed and sealed anew',
  'outside-head-signature': 'a head from outside over the rows from here on is not signed by a known key',
  'outside-head-beyond': 'a head that was published covers rows from here on that are not in the bundle',
  'outside-company': 'a head that was published is of a company that is not in the bundle',
};

/** Why a head from outside was not compared, in the order in which it is told. The first two make the verification incomplete. */
const NOT_COMPARED = {
  'behind-end': 'they cover rows behind the end of the bundle',
  'not-in-bundle': 'the company is not in the bundle',
  'before-start': 'they are of rows before the first of the bundle',
  'published-later': 'they were published later than the bundle, or than you have asked for',
  'not-asked': 'you have not asked for the company',
};

/** What cannot be verified at all: exit code 2. */
export class Refusal extends Error {}
/** The first row of a log that differs. */
class Difference extends Error {
  constructor(kind, place) {
    super(DIFFERENCES[kind]);
    this.found = { kind, ...place };
  }
}

if (!isLent()) {
  await main().catch((error) => {
    const refused =
      error instanceof Refusal
        ? error.message
        : `It cannot be verified, since something in it has another form: ${error.message}`;
    console.error(printed(refused));
    process.exitCode = 2;
  });
}

/** Another program reads heads and keys as this one does (`audit:verify --heads`). In doubt this is the program, and verifies. */
function isLent() {
  const program = process.argv[1];
  if (program === undefined || basename(program) === basename(FILE)) return false;
  return !existsSync(program) || realpathSync(program) !== FILE;
}

async function main() {
  const options = readOptions(process.argv.slice(2));
  if (options.help) return console.log(HELP);
  return options.proof === undefined ? verifyBundle(options) : verifyProof(options);
}

function readOptions(args) {
  const options = { 'accept-epoch': [] };
  const rest = [...args];
  while (rest.length > 0) {
    const argument = rest.shift();
    const [, name, given] =
      /^--(help|json|heads|keys|proof|time-stamps|as-of|company|accept-epoch)(?:=(.*))?$/s.exec(argument) ?? [];
    if (name === undefined) throw new Refusal(`I do not know ${argument}.\n\n${HELP}`);
    const value = name === 'help' || name === 'json' ? true : (given ?? rest.shift());
    if (value === undefined) throw new Refusal(`--${name} needs a value.`);
    options[name] = name in REPEATED ? [...(options[name] ?? []), value] : value;
  }
  if (options['as-of'] !== undefined && !INSTANT.test(options['as-of']))
    throw new Refusal('--as-of needs a time in UTC, such as 2026-04-01T00:00:00Z.');
  return options;
}

// ---- The bundle

async function verifyBundle(options) {
  const manifest = await readManifest();
  const keys = readKeys(options.keys ?? join(FOLDER, 'keys.json'));
  const outside = options.heads === undefined ? undefined : await readOutsideHeads(options.heads);
  const asked = { ...manifest.asked, exportedAt: manifest.exportedAt, asOf: options['as-of'], ids: options.company };
  const logs = [];
  const byText = new Map();
  for (const company of manifest.companies) {
    for (const log of LOGS)
      logs.push(await verifyLog({ manifest, company, log, keys, outside, asked, explained: byText }));
  }
  const unknown = unknownCompanies({ manifest, asked, signed: logs.flatMap(({ signed }) => signed) }, outside, keys);
  for (const companyId of unknown.companyIds) {
    const place = { companyId, log: 'journal', number: 1, id: null };
    logs.push({ companyId, log: 'journal', rows: 0, difference: { kind: 'outside-company', ...place } });
  }
  const found = {
    differences: logs.flatMap(({ difference }) => (difference === undefined ? [] : [difference])),
    explained: [...byText.values(), ...unknown.explained],
    notCompared: [...logs.flatMap((log) => log.notCompared ?? []), ...unknown.notCompared],
    unlisted: logs.flatMap((log) => log.unlisted ?? []),
  };
  if (options['time-stamps'] !== undefined) await writeTimeStamps(options['time-stamps'], manifest, outside);
  if (options.json) console.log(JSON.stringify({ logs, ...found, outside: outside?.told }));
  else printBundle({ manifest, keys, logs, ...found, outside, ownKeys: options.keys === undefined });
  process.exitCode = exitCodeOf(found, options['accept-epoch']);
}

/** Of several reasons the one that weighs most. */
function exitCodeOf({ differences, explained, notCompared }, accepted) {
  if (differences.length > 0) return 1;
  if (notCompared.some(isIncomplete)) return 2;
  return explained.every(({ epoch }) => accepted.includes(String(epoch))) ? 0 : 3;
}

/** Refuses a bundle that is not as it was exported. (Who changes it on purpose changes the manifest as well: the rest is below.) */
async function readManifest() {
  const path = join(FOLDER, 'manifest.json');
  if (!existsSync(path)) throw new Refusal('There is no manifest.json beside verify.mjs: the bundle is incomplete.');
  const manifest = parseJson(readFileSync(path), 'manifest.json');
  if (manifest?.format !== FORMAT || manifest.version !== 1) {
    throw new Refusal(`manifest.json is not that of a bundle of version 1. A later bundle has its own verify.mjs.`);
  }
  if (!Array.isArray(manifest.files) || !Array.isArray(manifest.companies))
    throw new Refusal('manifest.json is incomplete.');
  checkEpochList(manifest.epochs, 'manifest.json');
  if (!manifest.epochs.every(({ beganAt }) => INSTANT.test(beganAt)) || !INSTANT.test(manifest.exportedAt))
    throw new Refusal('manifest.json has a time that is none.');
  const listed = new Set(['manifest.json']);
  for (const { path: name, bytes, sha256: digest } of manifest.files) {
    if (
      !/^(?:[0-9a-f-]{36}\/(?:journal|audit)\/(?:rows-\d{5}|batches|heads)\.ndjson|README\.txt|keys\.json|verify\.mjs)$/.test(
        name,
      )
    ) {
      throw new Refusal(`manifest.json lists ${name}, which is no file of a bundle.`);
    }
    listed.add(name);
    const file = join(FOLDER, name);
    if (!existsSync(file))
      throw new Refusal(`${name} is missing: the bundle is incomplete. Get it again from where it was exported.`);
    if (statSync(file).size !== bytes || (await digestOfFile(file)) !== digest) {
      throw new Refusal(
        `${name} is not as it was exported: the bundle was altered, or cut off. Get it again from where it was exported.`,
      );
    }
  }
  for (const { id } of manifest.companies) {
    for (const log of LOGS) {
      const folder = join(FOLDER, id, log);
      for (const name of existsSync(folder) ? readdirSync(folder) : []) {
        if (!listed.has(`${id}/${log}/${name}`))
          throw new Refusal(`${id}/${log}/${name} is not listed in manifest.json: the bundle was altered.`);
      }
      for (const name of ['batches.ndjson', 'heads.ndjson']) {
        if (!listed.has(`${id}/${log}/${name}`))
          throw new Refusal(`manifest.json does not list ${id}/${log}/${name}: the bundle is incomplete.`);
      }
    }
  }
  return manifest;
}

/** Each epoch once, in their order: two readers could take two of one number. */
function checkEpochList(epochs, name) {
  const isRising = epochs.every(({ epoch }, i) => isNumber(epoch) && (i === 0 || epoch > epochs[i - 1].epoch));
  if (!isRising) throw new Refusal(`The epochs of ${name} are not in their order.`);
}

/** Walks one log: rows, batches and heads in step, and never more in memory than the rows of one batch and the roots since a head. */
async function verifyLog({ manifest, company, log, keys, outside, asked, explained }) {
  const told = company.logs[log];
  checkEpochList(told.epochs ?? [], `the ${log} of ${company.id}`);
  if (told.start !== null && asked.from === null)
    throw new Refusal(`manifest.json says that all days were asked for, and the ${log} of ${company.id} begins later.`);
  const walk = beginWalk({ epochs: manifest.epochs, company, log, told, keys, outside, explained });
  walk.signed = await epochsOfHeads(company.id, log, told.start);
  try {
    if (told.start !== null) startBehindHead(walk, told.start);
    for await (const batch of linesOf(company.id, log, ['batches.ndjson'])) await walkBatch(walk, batch);
    const behind = await walk.rows.next();
    if (!behind.done) throw walk.differs('row-order', walk.next, behind.value.id);
    if ((await walk.heads.peek()) !== undefined) throw walk.differs('head-beyond', walk.next);
    if (told.last !== walk.next - 1) {
      throw new Refusal(
        `manifest.json says that the ${log} of ${company.id} ends with number ${told.last}, and it ends with ${walk.next - 1}.`,
      );
    }
    checkHeadsBeyond(walk, asked);
  } catch (error) {
    if (!(error instanceof Difference)) throw error;
    return { ...walk.tally(), difference: error.found };
  } finally {
    await walk.rows.return?.();
    await walk.heads.close();
  }
  return { ...walk.tally(), notCompared: notComparedOf(walk, asked), unlisted: unlistedOf(walk) };
}

/** When the first head of each epoch was published. That heads are signed, and on the chain, is checked when the walk is there. */
async function epochsOfHeads(companyId, log, start) {
  const first = new Map();
  const add = (published) => {
    const head = readHead(published);
    if (head !== undefined && !first.has(head.epoch)) first.set(head.epoch, head.publishedAt);
  };
  add(start?.head);
  for await (const published of linesOf(companyId, log, ['heads.ndjson'])) add(published);
  return [...first].map(([epoch, publishedAt]) => ({ epoch, publishedAt }));
}

function beginWalk({ epochs, company, log, told, keys, outside, explained }) {
  const first = told.start?.number ?? 1;
  const heads = outside?.of(company.id, log) ?? new Map();
  const walk = {
    ...{ companyId: company.id, log, keys, outside: heads, positions: byPosition([...heads.values()].flat()) },
    /** Of the heads from outside: those that agree by their digest, and texts that are heads of the bundle. */
    ...{ agreeing: [], listed: new Set(), signed: [] },
    /** Between heads, and between a head and the time stamp that covers it; rows that are older than the head before them. */
    ...{ longestGap: null, waiting: null, longestWait: null, earlier: 0, erased: 0 },
    ...{ first, next: first, chain: NO_DIGEST, archived: 0, head: undefined, agreed: first - 1 },
    ...{ epochs, starts: told.epochs ?? [], explained },
    timeStamps: { heads: 0, last: null },
    /** Since the last head: the roots of the batches, and the first row. */
    since: { roots: [], number: first, id: null },
    rows: linesOf(company.id, log, rowFilesOf(company.id, log)),
    heads: peekable(linesOf(company.id, log, ['heads.ndjson'])),
    differs: (kind, number, id = null) => new Difference(kind, { companyId: company.id, log, number, id }),
    tally: () => ({
      ...{ companyId: company.id, log, first, last: walk.next - 1, rows: walk.next - first, archived: walk.archived },
      ...{ erased: walk.erased, earlier: walk.earlier, longestGap: walk.longestGap, longestWait: walk.longestWait },
      signed: walk.signed,
      head: walk.head === undefined ? null : shownHead(walk.head),
      timeStamps: walk.timeStamps,
      ...{ unsealed: told.unsealed, outside: { compared: walk.compared ?? 0 } },
    }),
  };
  return walk;
}

/** The part begins behind a head that is in the bundle, so that it is signed on what the part follows. */
function startBehindHead(walk, { number, digest, head: published }) {
  const head = readHead(published);
  const fits = head !== undefined && head.companyId === walk.companyId && head.log === walk.log;
  if (!fits || head.number !== number - 1 || head.digest !== digest) throw walk.differs('start-altered', number);
  if (!isSigned(published, walk.keys)) throw walk.differs('head-signature', number);
  if (!checkTimeStamp(walk, published, head)) throw walk.differs('head-time-stamp', number);
  const starts = walk.starts.filter((one) => one.number === head.number);
  const isFrom = (one) => one.epoch > head.epoch && one.digest === digest && isHeadBefore(one.head, head);
  if (!starts.every(isFrom)) throw walk.differs('epoch-altered', number);
  walk.chain = Buffer.from(digest, 'hex');
  walk.head = { ...head, keyId: published.keyId, text: published.head };
  walk.rowEpoch = head.epoch;
  checkOutsideHeads(walk, head.number);
  checkSamePosition(walk, published, head, number);
}

async function walkBatch(walk, batch) {
  if (batch.first !== walk.next || !Number.isSafeInteger(batch.last) || batch.last < batch.first)
    throw walk.differs('batch-order', walk.next);
  const leaves = [];
  let firstId = null;
  const epochBefore = walk.rowEpoch ?? 1;
  walk.rowEpoch = batch.epoch;
  for (let number = batch.first; number <= batch.last; number += 1) {
    const { value: row, done } = await walk.rows.next();
    if (done || row.number !== number) throw walk.differs('row-order', number, done ? null : row.id);
    checkRow(walk, row);
    if (number === batch.first) firstId = row.id;
    if (number === walk.since.number) walk.since.id = row.id;
    const leaf = Buffer.from(row.leaf, 'hex');
    leaves.push(leaf);
    walk.chain = nextInChain(walk.chain, number, leaf);
    walk.next = number + 1;
    checkOutsideHeads(walk, number);
  }
  if (walk.chain.toString('hex') !== batch.head) throw walk.differs('chain-broken', batch.first, firstId);
  if (rootOf(leaves).toString('hex') !== batch.root) throw walk.differs('tree-broken', batch.first, firstId);
  if (!isEpochOf(walk, batch, epochBefore)) throw walk.differs('epoch-altered', batch.first, firstId);
  walk.since.roots.push(Buffer.from(batch.root, 'hex'));
  const published = await walk.heads.peek();
  if (published !== undefined && (readHead(published)?.number ?? 0) <= batch.last)
    checkHead(walk, await walk.heads.take(), batch);
  const starts = walk.starts.filter(({ number }) => number === batch.last);
  if (!starts.every(({ head }) => isHeadBefore(head, walk.head)))
    throw walk.differs('epoch-altered', batch.first, firstId);
}

/** Epochs never fall, and one goes on from the end of a batch of an epoch before: what follows is of it, or of a later one. */
function isEpochOf(walk, { first, last, epoch }, before) {
  const chain = walk.chain.toString('hex');
  const fits = (start) => {
    if (start.number < first) return start.epoch <= epoch;
    return start.epoch > epoch && (start.number > last || (start.number === last && start.digest === chain));
  };
  return Number.isSafeInteger(epoch) && epoch >= before && walk.starts.every(fits);
}

/** Whether an epoch may say that this was the last published head. Others may have been published of the same rows since. */
function isHeadBefore(position, last) {
  if (position === null) return true;
  return isNumber(position) && position <= (last?.position ?? 0);
}

function checkRow(walk, { number, id, leaf, content, archived, erased }) {
  if (!isDigest(leaf)) throw walk.differs('row-altered', number, id);
  if ((content ?? null) === null) {
    if (walk.log !== 'audit' || archived !== true) throw walk.differs('row-missing', number, id);
    walk.archived += 1;
    return;
  }
  const row = readCanonical(content);
  if (row === undefined || leafOf(content).toString('hex') !== leaf) throw walk.differs('row-altered', number, id);
  if (row.version !== 1)
    throw new Refusal(`Row ${number} has the version ${row.version}, which this verifier does not know.`);
  const ownId = walk.log === 'journal' ? row.entryId : row.id;
  if (row.companyId !== walk.companyId || row.log !== walk.log || ownId !== id)
    throw walk.differs('row-foreign', number, id);
  if (walk.log === 'journal' && !isBalanced(row.lines)) throw walk.differs('entry-unbalanced', number, id);
  if (erased === true) walk.erased += 1;
  const at = walk.log === 'journal' ? row.postedAt : row.timestamp;
  if (walk.head !== undefined && instantOf(String(at)) < instantOf(walk.head.publishedAt)) walk.earlier += 1;
}

function isBalanced(lines) {
  const sums = new Map();
  for (const { currency, amount } of lines) sums.set(currency, (sums.get(currency) ?? 0n) + BigInt(amount));
  return [...sums.values()].every((sum) => sum === 0n);
}

function checkHead(walk, published, { last, epoch }) {
  const { since, head: before } = walk;
  const head = readHead(published);
  const differs = (kind) => walk.differs(kind, since.number, since.id);
  const fits =
    head !== undefined &&
    head.companyId === walk.companyId &&
    head.log === walk.log &&
    head.position === (before?.position ?? 0) + 1 &&
    head.epoch === epoch &&
    head.number === last &&
    head.digest === walk.chain.toString('hex') &&
    head.root === rootOf(since.roots).toString('hex') &&
    head.previous === (before === undefined ? ZEROS : sha256(Buffer.from(before.text)).toString('hex')) &&
    (before === undefined || instantOf(head.publishedAt) >= instantOf(before.publishedAt));
  if (!fits) throw differs('head-altered');
  if (!isSigned(published, walk.keys)) throw differs('head-signature');
  if (!checkTimeStamp(walk, published, head)) throw differs('head-time-stamp');
  checkSamePosition(walk, published, head, since.number);
  if (before !== undefined) walk.longestGap = longer(walk.longestGap, before.publishedAt, head.publishedAt);
  walk.head = { ...head, keyId: published.keyId, text: published.head };
  walk.since = { roots: [], number: last + 1, id: null };
}

// ---- Time stamps

function checkTimeStamp(walk, published, { position, number, publishedAt }) {
  const stamp = stampOf(published);
  walk.waiting ??= publishedAt;
  if (stamp) {
    walk.longestWait = longer(walk.longestWait, walk.waiting, stamp.at);
    walk.waiting = null;
  }
  if (stamp) walk.timeStamps = { heads: walk.timeStamps.heads + 1, last: { position, number, at: stamp.at } };
  return stamp !== undefined;
}

/** The longer of two stretches of time, each from one time to the other. */
function longer(found, from, to) {
  const length = ({ from: one, to: other }) => Date.parse(other) - Date.parse(one);
  return found === null || length({ from, to }) > length(found) ? { from, to } : found;
}

/** The token of a head, null if there is none; undefined if it is not of exactly this head. Who has signed it, and when that was, it claims itself. */
function stampOf({ head: text, timeStamp }) {
  if (timeStamp === undefined) return null;
  const token = readToken(Buffer.from(String(timeStamp), 'base64'));
  return token?.digest.equals(sha256(Buffer.from(text))) ? token : undefined;
}

/**
 * What a token of RFC 3161 stamps: its way to the TSTInfo (RFC 5652, section 5.1; RFC 3161, section 2.4.2). Undefined where
 * it is no such token, or of another digest than SHA-256.
 */
function readToken(bytes) {
  try {
    const [, content] = partsOf(onlyPart(bytes).content);
    const [, , encapsulated] = partsOf(onlyPart(content.content).content);
    const [type, octets] = partsOf(encapsulated.content);
    const [, , imprint, , time] = partsOf(onlyPart(onlyPart(octets.content).content).content);
    const [algorithm, digest] = partsOf(imprint.content);
    const [name] = partsOf(algorithm.content);
    if (type.der.toString('hex') !== TST_INFO || name.der.toString('hex') !== SHA256) return undefined;
    const at = time.content.toString('latin1').replace(GENERALIZED_TIME, '$1-$2-$3T$4:$5:$6$7Z');
    return { digest: digest.content, at };
  } catch {
    return undefined;
  }
}

function onlyPart(bytes) {
  const parts = partsOf(bytes);
  if (parts.length !== 1) throw new RangeError('There is more than one');
  return parts[0];
}

/** The values in DER that follow one another: tags of one byte, lengths of up to three. */
function partsOf(bytes) {
  const parts = [];
  for (let at = 0; at < bytes.length; ) {
    const short = bytes[at + 1];
    const more = short < 0x80 ? 0 : short - 0x80;
    if (more > 3 || short === 0x80) throw new RangeError('A length cannot be read');
    const length = more === 0 ? short : bytes.readUIntBE(at + 2, more);
    const from = at + 2 + more;
    if (from + length > bytes.length) throw new RangeError('It is cut off');
    parts.push({ der: bytes.subarray(at, from + length), content: bytes.subarray(from, from + length) });
    at = from + length;
  }
  return parts;
}

/** Of the bundle, and of the heads from outside: for each the bytes that were signed and stamped, and the token. */
async function writeTimeStamps(folder, manifest, outside) {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (readdirSync(folder).length > 0) throw new Refusal(`${folder} is not empty.`);
  const write = ({ head: text, timeStamp }, { companyId, log, position }, source) => {
    if (typeof timeStamp !== 'string') return;
    // Names are made of what was checked: the folder is the reader's.
    const name = join(folder, `${source}-${companyId}-${log}-${position}`);
    writeFileSync(`${name}.head`, text, { mode: 0o600 });
    writeFileSync(`${name}.token`, Buffer.from(timeStamp, 'base64'), { mode: 0o600 });
  };
  for (const { id } of manifest.companies) {
    for (const log of LOGS) {
      for await (const published of linesOf(id, log, ['heads.ndjson'])) {
        const head = readHead(published);
        if (head?.companyId === id && head.log === log) write(published, head, 'bundle');
      }
    }
  }
  for (const head of outside?.all ?? []) {
    if (/^[0-9a-f-]{36}$/.test(head.companyId)) write(head.published, head, 'outside');
  }
}

// ---- Heads from outside

async function readOutsideHeads(paths) {
  const heads = new Map();
  const told = { lines: 0, heads: 0 };
  for (const path of paths) {
    const ofFile = { lines: 0, heads: 0 };
    for await (const { published, head } of outsideHeadsOf(path, ofFile)) {
      const name = `${head.companyId} ${head.log}`;
      const ofLog = heads.get(name) ?? new Map();
      ofLog.set(head.number, [...(ofLog.get(head.number) ?? []), { ...head, published }]);
      heads.set(name, ofLog);
    }
    told.lines += ofFile.lines;
    told.heads += ofFile.heads;
  }
  return {
    told,
    of: (companyId, log) => heads.get(`${companyId} ${log}`),
    all: [...heads.values()].flatMap((of) => [...of.values()].flat()),
  };
}

/**
 * Heads wherever they are in the lines of the file: as they were published, in the call of a webhook, or in a line of a log. Counts in
 * `told` the lines and the heads. Refuses a file without any.
 */
export async function* outsideHeadsOf(path, told = { lines: 0, heads: 0 }) {
  for await (const line of linesOfFile(path)) {
    told.lines += 1;
    let value;
    try {
      value = JSON.parse(line);
    } catch {
      continue;
    }
    for (const published of publishedIn(value)) {
      const head = readHead(published);
      if (head === undefined) throw new Refusal(`Line ${told.lines} of ${path} has a head that cannot be read.`);
      told.heads += 1;
      yield { published, head, line: told.lines };
    }
  }
  if (told.heads === 0)
    throw new Refusal(`There is no head in ${path}: each is a line with {"head", "keyId", "signature"}.`);
}

function publishedIn(value) {
  if (typeof value !== 'object' || value === null) return [];
  const { head, keyId, signature, timeStamp } = value;
  if ([head, keyId, signature].every((member) => typeof member === 'string'))
    return [{ head, keyId, signature, timeStamp }];
  return Object.values(value).flatMap(publishedIn);
}

/** From the last one that agreed on, rows are not what they were when this head was published. */
function checkOutsideHeads(walk, number) {
  const first = walk.agreed + 1;
  for (const head of walk.outside.get(number) ?? []) {
    if (!isSigned(head.published, walk.keys)) throw walk.differs('outside-head-signature', first);
    if (head.digest === walk.chain.toString('hex')) {
      walk.compared = (walk.compared ?? 0) + 1;
      walk.agreeing.push(head);
      walk.agreed = number;
    } else if (!isExplained(walk, head, walk.rowEpoch)) throw walk.differs('outside-head', first);
  }
}

/** Of one position there is one head: another one with its digest, too, is of two histories, unless an epoch has begun after it. */
function checkSamePosition(walk, { head: text }, { position }, number) {
  for (const head of walk.positions.get(position) ?? []) {
    walk.listed.add(text);
    if (head.published.head === text) continue;
    if (!isSigned(head.published, walk.keys)) throw walk.differs('outside-head-signature', number);
    const isReplaced = walk.epochs.some(
      (one) => isLater(one, head, walk.signed) && isStated(one) && hasHead(one, walk.signed),
    );
    if (!isReplaced) throw walk.differs('outside-head', number);
  }
}

function byPosition(heads) {
  const positions = new Map();
  for (const head of heads) positions.set(head.position, [...(positions.get(head.position) ?? []), head]);
  return positions;
}

/** Heads that agree by their digest, and are none of the bundle. */
function unlistedOf({ companyId, log, agreeing, listed }) {
  const texts = new Map(agreeing.map((head) => [head.published.head, head]));
  return [...texts]
    .filter(([text]) => !listed.has(text))
    .map(([, { position, number, publishedAt }]) => ({ companyId, log, position, number, publishedAt }));
}

/** By its number; or by its time, where no signed head of it, or of a later one, is older: nobody has signed when it began. */
function isLater({ epoch, beganAt }, head, signed) {
  if (epoch > head.epoch) return true;
  const at = instantOf(head.publishedAt);
  return instantOf(beganAt) > at && signed.every((one) => one.epoch < epoch || instantOf(one.publishedAt) > at);
}

/** Whoever has no key can invent an epoch, and no head of it. */
function hasHead({ epoch }, signed) {
  return signed.some((one) => one.epoch >= epoch);
}

function isStated({ operator, reason }) {
  return typeof operator === 'string' && typeof reason === 'string';
}

/**
 * A head of rows that a restore has taken is explained by the first epoch that began after it, from a lower number, if an operator has
 * stated why. Where another row has the number now, it has to be of that epoch or a later one. And
 * there has to be a signed head of that epoch or a later one.
 */
function isExplained({ epochs, starts, explained, signed }, head, rowEpoch = Number.POSITIVE_INFINITY) {
  const lastKeptOf = (epoch) => starts.find((start) => start.epoch === epoch)?.number ?? 0;
  const began = epochs
    .toSorted((one, other) => one.epoch - other.epoch)
    .find((one) => isLater(one, head, signed) && lastKeptOf(one.epoch) < head.number && one.epoch <= rowEpoch);
  if (began === undefined || !isStated(began)) return false;
  if (!hasHead(began, signed)) return false;
  const { companyId, log, position, number, publishedAt } = head;
  const { epoch, beganAt, operator, reason } = began;
  // One head may have been collected in several places.
  const of = { companyId, log, position, number, publishedAt };
  const told = { ...of, epoch, beganAt, lastKept: lastKeptOf(epoch), operator, reason };
  explained.set(JSON.stringify(told), told);
  return true;
}

/** A head that was published before the bundle was made cannot be of rows behind its end, unless the bundle ends before by its range. */
function checkHeadsBeyond(walk, asked) {
  if (!isToItsEnd(walk, asked)) return;
  for (const head of [...walk.outside.values()].flat().toSorted(byNumber)) {
    if (head.number < walk.next || instantOf(head.publishedAt) > instantOf(asked.exportedAt)) continue;
    if (!isSigned(head.published, walk.keys)) throw walk.differs('outside-head-signature', walk.next);
    if (!isExplained(walk, head)) throw walk.differs('outside-head-beyond', walk.next);
  }
}

/** Whether the bundle has all rows of the log that there were: not where its days end before, or none was written on them. */
function isToItsEnd(walk, { from, to }) {
  return to === null && !(from !== null && walk.next === 1);
}

function isIncomplete({ reason }) {
  return reason === 'behind-end' || reason === 'not-in-bundle';
}

function isPublishedLater({ publishedAt }, { asOf, exportedAt }) {
  return instantOf(publishedAt) > instantOf(asOf ?? exportedAt);
}

/** Which heads from outside were not compared, and why: manifest.json alone says which rows the bundle was to have. */
function notComparedOf(walk, asked) {
  const reasonOf = (head) => {
    if (head.number < walk.first - 1) return 'before-start';
    if (head.number < walk.next) return undefined;
    if (isToItsEnd(walk, asked) && instantOf(head.publishedAt) <= instantOf(asked.exportedAt)) return undefined;
    return isPublishedLater(head, asked) ? 'published-later' : 'behind-end';
  };
  return countedByReason([...walk.outside.values()].flat(), reasonOf);
}

function countedByReason(heads, reasonOf) {
  const reasons = new Map();
  for (const head of heads) {
    const { companyId, log, number } = head;
    const reason = reasonOf(head);
    const found = reasons.get(reason) ?? { companyId, log, reason, heads: 0, last: 0 };
    reasons.set(reason, { ...found, heads: found.heads + 1, last: Math.max(found.last, number) });
  }
  return Object.keys(NOT_COMPARED).flatMap((reason) => reasons.get(reason) ?? []);
}

/** To be compared as text, however many digits of a second it has. */
function instantOf(text) {
  const [, fraction = ''] = INSTANT.exec(text) ?? [];
  return `${text.slice(0, 19)}.${fraction.padEnd(9, '0')}`;
}

function byNumber(one, other) {
  return one.number - other.number;
}

function byNumberAndLog(one, other) {
  return byNumber(one, other) || LOGS.indexOf(other.log) - LOGS.indexOf(one.log);
}

/** A company may be unknown because a restore has taken all of it. */
function unknownCompanies({ manifest, asked, signed }, outside, keys) {
  const known = new Set(manifest.companies.map(({ id }) => id));
  const strange = (outside?.all ?? []).filter(({ companyId }) => !known.has(companyId));
  const isExpected = (head) => asked.company === null && instantOf(head.publishedAt) <= instantOf(asked.exportedAt);
  const unknown = strange.filter(isExpected);
  const explained = [];
  const companyIds = idsOf(unknown).filter((id) => {
    const walk = { epochs: manifest.epochs, starts: [], explained: new Map(), signed };
    const heads = unknown.filter(({ companyId }) => companyId === id).toSorted(byNumberAndLog);
    const isGone = heads.every((head) => isSigned(head.published, keys) && isExplained(walk, head));
    if (isGone) explained.push(...walk.explained.values());
    return !isGone;
  });
  const reasonOf = (head) => {
    if (asked.ids !== undefined && !asked.ids.includes(head.companyId)) return 'not-asked';
    return isPublishedLater(head, asked) ? 'published-later' : 'not-in-bundle';
  };
  const others = strange.filter((head) => !isExpected(head));
  const notCompared = idsOf(others).flatMap((id) =>
    LOGS.flatMap((log) =>
      countedByReason(
        others.filter((head) => head.companyId === id && head.log === log),
        reasonOf,
      ),
    ),
  );
  return { companyIds, explained, notCompared };
}

function idsOf(heads) {
  return [...new Set(heads.map(({ companyId }) => companyId))].toSorted((one, other) => (one < other ? -1 : 1));
}

// ---- The proof of one write

function verifyProof(options) {
  const proof = parseJson(readFileSync(options.proof), options.proof);
  if (!Array.isArray(proof?.rows)) throw new Refusal(`${options.proof} is not the proof of a write.`);
  if (!isProof(proof)) throw new Refusal(`${options.proof} has another form than the proof of a write.`);
  const keysPath = options.keys ?? join(FOLDER, 'keys.json');
  if (!existsSync(keysPath)) throw new Refusal('There is no keys.json: give the public keys with --keys FILE.');
  const keys = readKeys(keysPath);
  const rowsOf = (log) => proof.rows.filter((row) => row?.log === log).length;
  if (proof.rows.length === 0) throw new Refusal('The proof has no rows: it proves nothing.');
  if (LOGS.some((log) => rowsOf(log) > 1)) throw new Refusal('The proof has two rows of one log: it is of one write.');
  const rows = proof.rows.map((row) => ({ ...checkProof(proof, row, keys), log: row.log, number: row.number }));
  const differences = rows.flatMap(({ kind, log, number, id }) =>
    kind === undefined ? [] : [{ kind, companyId: proof.companyId, log, number, id }],
  );
  if (options.json) console.log(JSON.stringify({ rows: rows.length, missing: proof.missing, differences }));
  else printProof(proof, rows, keys);
  if (differences.length > 0) process.exitCode = 1;
}

/** What two readers could read in two ways is none: a digest has one text, and a side one of two. */
function isProof({ companyId, key, writeId, rows, missing }) {
  const isText = (value) => typeof value === 'string';
  const isObject = (value) => typeof value === 'object' && value !== null;
  const isStep = (step) => isObject(step) && ['left', 'right'].includes(step.side) && isDigest(step.digest);
  const isPath = (path) => Array.isArray(path) && path.every(isStep);
  const isRow = (row) =>
    isObject(row) &&
    LOGS.includes(row.log) &&
    isNumber(row.number) &&
    [row.content, row.leaf].every(isText) &&
    [row.path, row.batchPath].every(isPath) &&
    isObject(row.head);
  const isMissing = (one) => isObject(one) && LOGS.includes(one.log) && isText(one.reason);
  return (
    [companyId, key].every(isText) &&
    (writeId === null || isText(writeId)) &&
    rows.every(isRow) &&
    Array.isArray(missing) &&
    missing.every(isMissing)
  );
}

function checkProof({ companyId, key, writeId }, { log, content, leaf, path, batchPath, head: published }, keys) {
  const row = readCanonical(content);
  const id = (log === 'journal' ? row?.entryId : row?.id) ?? null;
  if (row === undefined || leafOf(content).toString('hex') !== leaf) return { kind: 'row-altered', id };
  if (row.version !== 1)
    throw new Refusal(`The row has the version ${row.version}, which this verifier does not know.`);
  if (row.companyId !== companyId || row.log !== log || row.writeId !== writeId) return { kind: 'row-foreign', id };
  const isOfKey = log === 'journal' || row.idempotencyKey === key;
  if (!isOfKey || (writeId !== null && writeId !== writeIdOf(companyId, row.operation, key)))
    return { kind: 'row-foreign', id };
  if (log === 'journal' && !isBalanced(row.lines)) return { kind: 'entry-unbalanced', id };
  const head = readHead(published);
  const root = [...path, ...batchPath].reduce(nodeBeside, Buffer.from(leaf, 'hex')).toString('hex');
  if (head === undefined || head.companyId !== companyId || head.log !== log || head.root !== root)
    return { kind: 'head-altered', id };
  if (!isSigned(published, keys)) return { kind: 'head-signature', id };
  const stamp = stampOf(published);
  if (stamp === undefined) return { kind: 'head-time-stamp', id };
  return { id, row, head: { ...head, keyId: published.keyId, stampedAt: stamp?.at } };
}

/** UUIDv5 (RFC 9562, section 5.5) of the company, the operation and the key. */
function writeIdOf(companyId, operation, key) {
  const name = `company:${companyId}:op:${operation}:key:${key}`;
  const bytes = createHash('sha1').update(WRITE_NAMESPACE).update(name).digest().subarray(0, 16);
  bytes[6] = (bytes[6] & 0x0f) | 0x50;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function nodeBeside(found, { side, digest }) {
  const beside = Buffer.from(digest, 'hex');
  return side === 'left' ? nodeOf(beside, found) : nodeOf(found, beside);
}

// ---- Digests, keys, canonical JSON

function isDigest(value) {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
}

/** Of a row, a head or an epoch. */
function isNumber(value) {
  return Number.isSafeInteger(value) && value >= 1;
}

function sha256(...parts) {
  const digest = createHash('sha256');
  for (const part of parts) digest.update(part);
  return digest.digest();
}

function leafOf(content) {
  return sha256(Buffer.of(0), Buffer.from(content));
}

function nodeOf(left, right) {
  return sha256(Buffer.of(1), left, right);
}

function nextInChain(previous, number, leaf) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(number));
  return sha256(previous, bytes, leaf);
}

/** RFC 6962, section 2.1: the last node of an odd level rises as it is. */
function rootOf(leaves) {
  let level = leaves;
  while (level.length > 1) {
    const above = [];
    for (let i = 0; i < level.length; i += 2)
      above.push(i + 1 < level.length ? nodeOf(level[i], level[i + 1]) : level[i]);
    level = above;
  }
  return level[0];
}

/** Undefined where the text is not a head: canonical JSON with its members and no others. */
function readHead(published) {
  const head = readCanonical(published?.head);
  const isWhole =
    head?.version === 1 &&
    LOGS.includes(head.log) &&
    [head.position, head.epoch, head.number].every(isNumber) &&
    [head.digest, head.root, head.previous].every(isDigest) &&
    [head.companyId, head.publishedAt].every((member) => typeof member === 'string') &&
    INSTANT.test(head.publishedAt) &&
    Object.keys(head).length === HEAD_MEMBERS;
  return isWhole ? head : undefined;
}

function isSigned({ head, keyId, signature }, keys) {
  const key = keys.get(keyId);
  const bytes = Buffer.from(String(signature), 'base64');
  // One signature has one text.
  if (key === undefined || bytes.toString('base64') !== signature) return false;
  return verifySignature(null, Buffer.from(head), key.publicKey, bytes);
}

export function readKeys(path) {
  const set = parseJson(readFileSync(path), path);
  const keys = new Map();
  for (const jwk of Array.isArray(set?.keys) ? set.keys : []) {
    if (jwk?.kty !== 'OKP' || jwk.crv !== 'Ed25519' || typeof jwk.kid !== 'string') continue;
    const { kty, crv, x } = jwk;
    if (typeof x !== 'string' || !/^[A-Za-z0-9_-]{43}$/.test(x)) continue;
    keys.set(jwk.kid, { x, publicKey: createPublicKey({ key: { kty, crv, x }, format: 'jwk' }) });
  }
  return keys;
}

/** Undefined where the text is not RFC 8785 canonical JSON of an object: two readers could read two things in it. */
function readCanonical(text) {
  if (typeof text !== 'string') return undefined;
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' && value !== null && canonical(value) === text ? value : undefined;
  } catch {
    return undefined;
  }
}

function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.keys(value)
    .toSorted()
    .map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`);
  return `{${members.join(',')}}`;
}

// ---- Files

function rowFilesOf(companyId, log) {
  const folder = join(FOLDER, companyId, log);
  return readdirSync(folder)
    .filter((name) => name.startsWith('rows-'))
    .toSorted();
}

async function* linesOf(companyId, log, names) {
  for (const name of names) {
    let number = 0;
    for await (const line of linesOfFile(join(FOLDER, companyId, log, name))) {
      number += 1;
      const value = parseJson(line, `line ${number} of ${companyId}/${log}/${name}`);
      if (typeof value !== 'object' || value === null)
        throw new Refusal(`Line ${number} of ${companyId}/${log}/${name} is no object.`);
      yield value;
    }
  }
}

/** Splits at line feeds alone. A line is the most that is in memory. */
async function* linesOfFile(path) {
  if (!existsSync(path)) throw new Refusal(`There is no ${path}.`);
  let parts = [];
  let length = 0;
  for await (const chunk of createReadStream(path)) {
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      const line = Buffer.concat([...parts, chunk.subarray(from, at)]).toString();
      [parts, length, from] = [[], 0, at + 1];
      if (line !== '') yield line;
    }
    parts.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > MAX_LINE_BYTES) throw new Refusal(`${path} has a line that is too long.`);
  }
  const line = Buffer.concat(parts).toString();
  if (line !== '') yield line;
}

function peekable(lines) {
  let next;
  const peek = async () => {
    next ??= await lines.next();
    return next.value;
  };
  return {
    peek,
    async take() {
      const value = await peek();
      next = undefined;
      return value;
    },
    close: () => lines.return(),
  };
}

async function digestOfFile(path) {
  const digest = createHash('sha256');
  for await (const chunk of createReadStream(path)) digest.update(chunk);
  return digest.digest('hex');
}

function parseJson(bytes, name) {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    throw new Refusal(`${name} is not JSON.`);
  }
}

// ---- What is printed

function printBundle({ manifest, keys, logs, differences, explained, notCompared, unlisted, outside, ownKeys }) {
  const { exportedAt, companies, asked } = manifest;
  const names = new Map(companies.map(({ id, name }) => [id, name]));
  const lines = [`Bundle of ${exportedAt}, ${rangeText(asked)}`, ...keyLines(keys, ownKeys)];
  let last;
  for (const log of logs) {
    if (log.companyId !== last) lines.push('', `${names.get(log.companyId) ?? 'Not in the bundle'} (${log.companyId})`);
    last = log.companyId;
    lines.push(...logLines(log));
  }
  if (outside !== undefined) {
    const compared = logs.reduce((sum, log) => sum + (log.outside?.compared ?? 0), 0);
    lines.push(
      '',
      `Heads from outside: ${outside.told.heads} in ${outside.told.lines} lines, of which ${compared} are on the chains.`,
    );
  }
  if (notCompared.length > 0) lines.push(...notCompared.map(notComparedText));
  if (unlisted.length > 0) lines.push(...unlisted.map(unlistedText));
  if (explained.length > 0) lines.push('', ...explained.map(explainedText));
  lines.push('', endText({ differences, explained, notCompared, logs }));
  console.log(lines.map(printed).join('\n'));
}

function endText({ differences, explained, notCompared, logs }) {
  if (differences.length > 0) return `${differences.length} of ${logs.length} logs differ.`;
  if (notCompared.some(isIncomplete))
    return 'Nothing differs in what was compared. Heads from outside that you have asked for are not: see above.';
  if (explained.length === 0) return 'Nothing differs.';
  return 'Nothing differs, but that rests on what an operator has stated: heads are explained, see above.';
}

function notComparedText({ companyId, log, reason, heads, last }) {
  return `Not compared: ${heads} ${heads === 1 ? 'head' : 'heads'}, the last of number ${last} of the ${log} of ${companyId}: ${NOT_COMPARED[reason]}.`;
}

function unlistedText({ companyId, log, position, number, publishedAt }) {
  return `No head of the bundle: head ${position} of ${publishedAt} of the ${log} of ${companyId} agrees at number ${number}, and is not in the bundle.`;
}

function explainedText(explained) {
  const { companyId, log, position, number, publishedAt, epoch, beganAt, lastKept, operator, reason } = explained;
  const began = `Epoch ${epoch} began ${beganAt} and went on after number ${lastKept}; ${operator} has stated why: ${reason}`;
  const isBefore = instantOf(beganAt) <= instantOf(publishedAt);
  const warning = isBefore ? ' (Warning: the epoch began before this head was published.)' : '';
  return `Explained: head ${position} of ${publishedAt} of the ${log} of ${companyId} ends with number ${number}, and its rows are gone. ${began}${warning}`;
}

function rangeText({ from, to, company }) {
  const days = from === null && to === null ? 'all days' : `${from ?? 'the first day'} to ${to ?? 'the last day'}`;
  return `${days}, ${company === null ? 'all companies' : 'one company'}`;
}

function keyLines(keys, ownKeys) {
  const shown = [...keys].map(([keyId, { x }]) => `  ${keyId} ${x}`);
  return ownKeys
    ? ['Keys of the bundle itself; compare them with those that you have kept, or give yours with --keys:', ...shown]
    : ['Keys that you have given:', ...shown];
}

function logLines(of) {
  const { log, first, last, rows, archived, erased, earlier, head, timeStamps, unsealed, difference } = of;
  const [one, many] = ROW_NAMES[log];
  if (difference !== undefined) return [`  ${log}: DIFFERS at ${differenceText(difference)}`];
  if (rows === 0) return [`  ${log}: no ${many}`, ...unsealedLines(unsealed)];
  const behind = last - (head?.number ?? first - 1);
  return [
    `  ${log}: ${rows} ${rows === 1 ? one : many}, numbers ${first} to ${last}${head === null ? '' : `; up to head ${head.position} (number ${head.number}) of ${head.publishedAt}, signed by ${head.keyId}`}`,
    ...(first === 1 ? [] : [`    Not proved: what is before number ${first}. The part follows on a signed head.`]),
    ...timeStampLines(timeStamps),
    ...(behind === 0 ? [] : [`    Behind the last published head: ${behind}, chained and not signed yet.`]),
    ...stretchLines(of),
    ...(archived === 0 ? [] : [`    In the archive of the audit log: ${archived}, checked by their digests alone.`]),
    ...(erased === 0
      ? []
      : [`    Of persons whose data was erased: ${erased}, whose salted members nobody can check.`]),
    ...(earlier === 0 ? [] : [`    Written before the head that precedes them was published: ${earlier}.`]),
    ...unsealedLines(unsealed),
  ];
}

function stretchLines({ longestGap, longestWait }) {
  const line = (what, { from, to }) => [`    ${what}: ${from} to ${to}.`];
  return [
    ...(longestGap === null ? [] : line('The longest time between two heads', longestGap)),
    ...(longestWait === null ? [] : line('The longest time from a head to the token that covers it', longestWait)),
  ];
}

function timeStampLines({ heads, last }) {
  if (last === null) return [];
  return [
    `    Time-stamped: ${heads} ${heads === 1 ? 'head' : 'heads'}, the last up to number ${last.number}, at ${last.at} as its token claims. OpenSSL checks whose it is: --time-stamps DIR.`,
  ];
}

function unsealedLines(unsealed) {
  return unsealed > 0 ? [`    Not sealed yet, and not in the bundle: ${unsealed}.`] : [];
}

function differenceText({ kind, log, number, id }) {
  return `number ${number}${id === null ? '' : `, ${ROW_NAMES[log][0]} ${id}`}: ${DIFFERENCES[kind]} (${kind})`;
}

function printProof(proof, rows, keys) {
  const lines = [
    `Proof of the write ${proof.key} of company ${proof.companyId}`,
    'Keys:',
    ...[...keys].map(([id, { x }]) => `  ${id} ${x}`),
  ];
  for (const { kind, log, number, id, row, head } of rows) {
    if (kind !== undefined) lines.push(`  ${log}: DIFFERS at ${differenceText({ kind, log, number, id })}`);
    else lines.push(...provenLines(log, row, head));
  }
  for (const { log, reason } of proof.missing) lines.push(`  ${log}: no proof of this row here (${reason})`);
  console.log(lines.map(printed).join('\n'));
}

function provenLines(log, row, head) {
  const what =
    log === 'journal'
      ? [
          `entry ${row.entryId} of ${row.date}, ${row.operation}, posted ${row.postedAt}`,
          ...row.lines.map((line) => `  ${line.accountCode} ${line.amount} ${line.currency}`),
        ]
      : [
          `audit row ${row.id} of ${row.timestamp}: ${row.operation}, ${row.status}${row.errorCode === null ? '' : `, ${row.errorCode}`}`,
        ];
  return [
    `  ${log}: proved`,
    ...what.map((line) => `    ${line}`),
    `    It is in the log as head ${head.position} of ${head.publishedAt} has it, which is signed by ${head.keyId}.`,
    ...(head.stampedAt === undefined
      ? []
      : [
          `    The head has a time stamp of ${head.stampedAt}, as its token claims: docs/audit.md says how OpenSSL checks it.`,
        ]),
  ];
}

function shownHead({ position, number, epoch, publishedAt, keyId }) {
  return { position, number, epoch, publishedAt, keyId };
}

/** Without what a terminal would obey. */
function printed(text) {
  return text.replace(/(?!\n)[\p{Cc}\p{Cf}]/gu, '�');
}
