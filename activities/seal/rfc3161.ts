import { hash, randomBytes, timingSafeEqual, webcrypto } from 'node:crypto';
import {
  type BaseBlock,
  Constructed,
  fromBER,
  Integer,
  Null,
  ObjectIdentifier,
  OctetString,
  type Sequence,
} from 'asn1js';
import {
  AlgorithmIdentifier,
  type Attribute,
  Certificate,
  CertificateChainValidationEngine,
  CryptoEngine,
  ExtKeyUsage,
  MessageImprint,
  SignedData,
  type SignerInfo,
  TimeStampReq,
  TimeStampResp,
  TSTInfo,
} from 'pkijs';
import { certificatesIn } from './certificates.ts';
import { type Evidence, WitnessFault } from './witness.ts';

/**
 * Requests and tokens of the time-stamp protocol (RFC 3161). What is read here was made by somebody else: a token is kept only
 * if everything that it says about itself holds, by what `openssl ts -verify` asks as well.
 */

export type StampRequest = {
  /** In DER. */
  readonly bytes: Buffer;
  readonly digest: Buffer;
  readonly nonce: Buffer;
};

/** Certificates of authorities that are believed, in PEM; undefined where nobody has said which are. */
export type TrustedRoots = readonly Certificate[] | undefined;

const NONCE_BYTES = 16;
/** Of a chain; more cannot be of use, and those of a stranger could lead in circles. */
const MAX_CERTIFICATES = 10;
/** Clocks of the database, of this machine and of the authority. */
const CLOCK_TOLERANCE_MS = 10 * 60_000;

const SHA256 = '2.16.840.1.101.3.4.2.1';
const SIGNED_DATA = '1.2.840.113549.1.7.2';
const TST_INFO = '1.2.840.113549.1.9.16.1.4';
const CONTENT_TYPE = '1.2.840.113549.1.9.3';
const SIGNING_CERTIFICATE = '1.2.840.113549.1.9.16.2.12';
const SIGNING_CERTIFICATE_V2 = '1.2.840.113549.1.9.16.2.47';
const EXTENDED_KEY_USAGE = '2.5.29.37';
const TIME_STAMPING = '1.3.6.1.5.5.7.3.8';
const GRANTED = [0, 1];
/** In characters: what a stranger says goes to the log. */
const MOST_WORDS = 200;

const engine = new CryptoEngine({ name: 'node', crypto: webcrypto });

/** Asks for a stamp on a text, with the authority's certificate in it. */
export function stampRequest(text: string): StampRequest {
  const digest = hash('sha256', text, 'buffer');
  const nonce = randomBytes(NONCE_BYTES);
  // Positive, and without a leading zero: an authority may write the number anew.
  nonce[0] = ((nonce[0] as number) & 0x7f) | 0x40;
  const request = new TimeStampReq({
    version: 1,
    messageImprint: new MessageImprint({
      hashAlgorithm: new AlgorithmIdentifier({ algorithmId: SHA256, algorithmParams: new Null() }),
      hashedMessage: new OctetString({ valueHex: digest }),
    }),
    nonce: new Integer({ valueHex: nonce }),
    certReq: true,
  });
  return { bytes: Buffer.from(request.toSchema().toBER()), digest, nonce };
}

/** Throws where there is no certificate, or one that cannot be read. */
export function trustedRoots(pem: string): readonly Certificate[] {
  return certificatesIn(pem).map(({ raw }) => Certificate.fromBER(raw));
}

/** The token of a reply, checked. `notBefore`: no honest stamp on this text is older. Throws a {@link WitnessFault}. */
export async function checkReply(
  reply: Buffer,
  { request, text, roots, notBefore }: { request: StampRequest; text: string; roots: TrustedRoots; notBefore: Date },
): Promise<Evidence> {
  const { response, token } = readReply(reply);
  const { status, statusStrings } = response.status;
  if (!GRANTED.includes(status)) {
    const words = (statusStrings ?? [])
      .map(({ valueBlock }) => valueBlock.value)
      .join(', ')
      .slice(0, MOST_WORDS);
    throw new WitnessFault('refused', `The authority has answered status ${status}${words === '' ? '' : `: ${words}`}`);
  }
  if (response.timeStampToken?.contentType !== SIGNED_DATA || token === undefined)
    throw invalid('it has no signed token');
  try {
    const signed = new SignedData({ schema: response.timeStampToken.content });
    const info = readInfo(signed);
    checkInfo(info, request, notBefore);
    const signer = await checkSignature(signed, text);
    if (roots !== undefined) await checkChain(signer, certificatesOf(signed), roots, info.genTime);
    return { bytes: token, at: info.genTime };
  } catch (error) {
    throw error instanceof WitnessFault ? error : invalid((error as Error).message, error);
  }
}

function readReply(reply: Buffer): { readonly response: TimeStampResp; readonly token: Buffer | undefined } {
  try {
    const { offset, result } = fromBER(reply);
    if (offset !== reply.length) throw new Error('it is cut off, or something follows it');
    const response = new TimeStampResp({ schema: result });
    const [, token] = (result as Sequence).valueBlock.value;
    if (token !== undefined && !hasLengths(token)) throw new Error('it is not in DER');
    // As it was sent: written anew, it could be another.
    return { response, token: token && Buffer.from(token.valueBeforeDecodeView) };
  } catch (error) {
    throw invalid(`it is no reply of RFC 3161: ${(error as Error).message}`, error);
  }
}

/** Whether each part says how long it is, as DER has it: a reader with few means can then find its way. */
function hasLengths(part: BaseBlock): boolean {
  const parts = part instanceof Constructed ? part.valueBlock.value : [];
  return !part.lenBlock.isIndefiniteForm && parts.every((inner) => hasLengths(inner as BaseBlock));
}

function readInfo({ encapContentInfo: { eContentType, eContent } }: SignedData): TSTInfo {
  if (eContentType !== TST_INFO || eContent === undefined) throw invalid('it signs something else');
  return TSTInfo.fromBER(eContent.getValue());
}

function checkInfo(info: TSTInfo, { digest, nonce }: StampRequest, notBefore: Date): void {
  const { hashAlgorithm, hashedMessage } = info.messageImprint;
  const isOfText = hashAlgorithm.algorithmId === SHA256 && isEqual(hashedMessage.valueBlock.valueHexView, digest);
  if (!isOfText) throw invalid('it is of another text');
  if (info.nonce === undefined || !isEqual(info.nonce.valueBlock.valueHexView, nonce))
    throw invalid('it answers another request');
  const at = info.genTime.getTime();
  // biome-ignore lint/plugin: what is compared is the time of the calendar.
  const now = Date.now();
  if (!(at >= notBefore.getTime() - CLOCK_TOLERANCE_MS && at <= now + CLOCK_TOLERANCE_MS))
    throw invalid(`its time is ${info.genTime.toISOString()}`);
}

/** That one signer has signed exactly this, whose certificate it names, and that certificate is for time stamps alone. */
async function checkSignature(signed: SignedData, text: string): Promise<Certificate> {
  const [signerInfo, ...others] = signed.signerInfos;
  if (signerInfo === undefined || others.length > 0) throw invalid('it does not have exactly one signer');
  if (certificatesOf(signed).length > MAX_CERTIFICATES) throw invalid('it has too many certificates');
  const contentType = onlyValue(signerInfo, CONTENT_TYPE);
  if (!(contentType instanceof ObjectIdentifier) || contentType.getValue() !== TST_INFO)
    throw invalid('its signature is over something else');
  const data = Uint8Array.from(Buffer.from(text)).buffer;
  const { signatureVerified, signerCertificate } = await signed.verify(
    { signer: 0, data, checkChain: false, extendedMode: true },
    engine,
  );
  if (signatureVerified !== true || signerCertificate == null) throw invalid('its signature does not hold');
  if (!isForTimeStamps(signerCertificate)) throw invalid('its certificate is not for time stamps alone');
  if (!isNamed(signerInfo, signerCertificate)) throw invalid('it names another certificate than the one that signs');
  return signerCertificate;
}

/** ESSCertID (RFC 2634, RFC 5816): the digest of the certificate is among what is signed. */
function isNamed(signer: SignerInfo, certificate: Certificate): boolean {
  const der = Buffer.from(certificate.toSchema().toBER());
  const second = onlyValue(signer, SIGNING_CERTIFICATE_V2);
  const named = second ?? onlyValue(signer, SIGNING_CERTIFICATE);
  const [first] = (named as Sequence | undefined)?.valueBlock.value ?? [];
  const [id] = (first as Sequence | undefined)?.valueBlock.value ?? [];
  const members = (id as Sequence | undefined)?.valueBlock.value ?? [];
  const isOctets = (member: unknown) => member instanceof OctetString;
  const digest = members.find(isOctets) as OctetString | undefined;
  if (digest === undefined) return false;
  const [algorithm] = members;
  const name = second === undefined ? 'sha1' : digestName(algorithm instanceof OctetString ? undefined : algorithm);
  return name !== undefined && isEqual(digest.valueBlock.valueHexView, hash(name, der, 'buffer'));
}

/** Of an ESSCertIDv2: SHA-256 unless it says another. */
function digestName(algorithm: unknown): string | undefined {
  if (algorithm === undefined) return 'sha256';
  const { algorithmId } = new AlgorithmIdentifier({ schema: algorithm });
  const found: object = engine.getAlgorithmByOID(algorithmId);
  return 'name' in found ? String(found.name).replace('-', '').toLowerCase() : undefined;
}

function isForTimeStamps({ extensions }: Certificate): boolean {
  const usage = extensions?.find(({ extnID }) => extnID === EXTENDED_KEY_USAGE);
  if (usage?.critical !== true || !(usage.parsedValue instanceof ExtKeyUsage)) return false;
  const { keyPurposes } = usage.parsedValue;
  return keyPurposes.length === 1 && keyPurposes[0] === TIME_STAMPING;
}

/** That the certificate leads to one that is believed, by RFC 5280, as it was at that time. Nobody is asked for revocations. */
async function checkChain(
  signer: Certificate,
  given: readonly Certificate[],
  roots: readonly Certificate[],
  at: Date,
): Promise<void> {
  const chain = await chainTo(signer, given, roots);
  if (chain === undefined) throw invalid('its certificate leads to none of SEAL_TIMESTAMP_CA');
  const { root, between } = chain;
  const validation = new CertificateChainValidationEngine({
    trustedCerts: [root],
    certs: [...between, signer],
    checkDate: at,
  });
  const { result, resultMessage } = await validation.verify({}, engine);
  if (!result) throw invalid(`its certificate is not valid: ${resultMessage}`);
}

type Chain = { readonly root: Certificate; readonly between: readonly Certificate[] };

/** The engine that validates a chain follows certificates that have signed each other without an end: it gets a straight one. */
async function chainTo(
  signer: Certificate,
  given: readonly Certificate[],
  roots: readonly Certificate[],
): Promise<Chain | undefined> {
  const tried = new Set([signer]);
  const paths: Certificate[][] = [[signer]];
  for (const path of paths) {
    const last = path.at(-1) as Certificate;
    for (const root of roots) {
      if (await hasIssued(root, last)) return { root, between: path.slice(1) };
    }
    for (const issuer of given) {
      if (tried.has(issuer) || !(await hasIssued(issuer, last))) continue;
      tried.add(issuer);
      paths.push([...path, issuer]);
    }
  }
  return undefined;
}

async function hasIssued(issuer: Certificate, certificate: Certificate): Promise<boolean> {
  if (!certificate.issuer.isEqual(issuer.subject)) return false;
  return certificate.verify(issuer, engine).catch(() => false);
}

function certificatesOf({ certificates = [] }: SignedData): Certificate[] {
  return certificates.filter((certificate) => certificate instanceof Certificate);
}

/** The value of a signed attribute that is there once, with one value. */
function onlyValue(signer: SignerInfo, type: string): unknown {
  const found = signer.signedAttrs?.attributes.filter((attribute: Attribute) => attribute.type === type) ?? [];
  const [attribute] = found;
  return found.length === 1 && attribute?.values.length === 1 ? attribute.values[0] : undefined;
}

function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

function invalid(reason: string, cause?: unknown): WitnessFault {
  return new WitnessFault('invalid', `The time stamp is not kept: ${reason}`, { cause });
}
