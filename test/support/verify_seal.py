"""Verifies sealed books: a second implementation of docs/seal-format.md, written from that page alone.

    python3 verify_seal.py [--heads FILE] [--keys FILE] FOLDER
    python3 verify_seal.py --proof FILE --keys FILE
    python3 verify_seal.py --example FILE

The example is that of the page: with the salts, whose digests are checked as well.


Prints {"differences": [{kind, companyId, log, number, id}, ...], "explained": [...]}. Exit code 0: nothing differs. 1: something does. 2: refused.
Python 3.11 or newer, with its standard library alone.
"""

import argparse
import base64
import hashlib
import json
import os
import re
import sys

LOGS = ("journal", "audit")
FILE_NAME = re.compile(
    r"([0-9a-f-]{36}/(journal|audit)/(rows-[0-9]{5}|batches|heads)\.ndjson|README\.txt|keys\.json|verify\.mjs)"
)
INSTANT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.([0-9]{1,9}))?Z")
HEX = re.compile(r"[0-9a-f]{64}")


class Refused(Exception):
    pass


class Differs(Exception):
    def __init__(self, kind, company_id, log, number, row_id=None):
        super().__init__(kind)
        self.found = {"kind": kind, "companyId": company_id, "log": log, "number": number, "id": row_id}


# ---- Ed25519 (RFC 8032, sections 5.1 and 6)

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f, g * h, f * g, e * h)


def multiply(s, p):
    q = (0, 1, 1, 0)
    while s > 0:
        if s & 1:
            q = add(q, p)
        p = add(p, p)
        s >>= 1
    return q


def equal(p, q):
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


def recover_x(y, sign):
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if x2 == 0:
        return None if sign else 0
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P != 0:
        x = x * SQRT_M1 % P
    if (x * x - x2) % P != 0:
        return None
    return P - x if (x & 1) != sign else x


def decompress(data):
    if len(data) != 32:
        return None
    y = int.from_bytes(data, "little")
    sign = y >> 255
    y &= (1 << 255) - 1
    x = recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


G_Y = 4 * pow(5, P - 2, P) % P
G_X = recover_x(G_Y, 0)
G = (G_X, G_Y, 1, G_X * G_Y % P)


def is_signature(public, message, signature):
    if len(signature) != 64:
        return False
    a, r = decompress(public), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= Q:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % Q
    return equal(multiply(s, G), add(r, multiply(h, a)))


# ---- Canonical JSON (RFC 8785), as far as the seal has it: whole numbers, and no others


def canonical(value):
    if value is None or isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ",".join(canonical(one) for one in value) + "]"
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(canonical(name) + ":" + canonical(value[name]) for name in names) + "}"
    raise ValueError("a number that is not whole")


def read_canonical(text):
    """None where the text is not the canonical JSON of an object."""
    if not isinstance(text, str):
        return None
    try:
        value = json.loads(text)
        return value if isinstance(value, dict) and canonical(value) == text else None
    except (ValueError, RecursionError):
        return None


# ---- Digests


def sha256(data):
    return hashlib.sha256(data).digest()


def leaf_of(content):
    return sha256(b"\x00" + content.encode("utf-8", "surrogatepass"))


def node_of(left, right):
    return sha256(b"\x01" + left + right)


def tree_hash(leaves):
    """Section 2.1 of RFC 6962, by its own recursion: k is the largest power of two below n."""
    n = len(leaves)
    if n == 1:
        return leaves[0]
    k = 1 << (n - 1).bit_length() - 1
    return node_of(tree_hash(leaves[:k]), tree_hash(leaves[k:]))


# ---- Heads and keys


def der_parts(data):
    """The values in DER that follow one another, each as (all of it, its content)."""
    parts, at = [], 0
    while at < len(data):
        more = data[at + 1] - 0x80 if data[at + 1] >= 0x80 else 0
        if data[at + 1] == 0x80 or more > 3:
            raise ValueError("a length cannot be read")
        start = at + 2 + more
        end = start + (int.from_bytes(data[at + 2 : start], "big") if more else data[at + 1])
        if end > len(data):
            raise ValueError("it is cut off")
        parts.append((data[at:end], data[start:end]))
        at = end
    return parts


def is_stamped(published):
    """Whether the token of a head, if there is one, is of its SHA-256."""
    if "timeStamp" not in published:
        return True
    try:
        ((_, info),) = der_parts(base64.b64decode(published["timeStamp"]))
        ((_, signed),) = der_parts(der_parts(info)[1][1])
        (kind, _), (_, octets) = der_parts(der_parts(signed)[2][1])
        ((_, wrapped),) = der_parts(octets)
        ((_, stamp),) = der_parts(wrapped)
        (_, algorithm), (_, digest) = der_parts(der_parts(stamp)[2][1])
        if kind.hex() != "060b2a864886f70d0109100104" or der_parts(algorithm)[0][0].hex() != "0609608648016503040201":
            return False
        return digest == sha256(published["head"].encode())
    except (ValueError, IndexError, TypeError):
        return False


def read_head(published):
    head = read_canonical(published.get("head")) if isinstance(published, dict) else None
    if head is None or type(head.get("version")) is not int or head["version"] != 1 or head.get("log") not in LOGS:
        return None
    if any(type(head.get(name)) is not int or head[name] < 1 for name in ("position", "epoch", "number")):
        return None
    if any(not is_digest(head.get(name)) for name in ("digest", "root", "previous")):
        return None
    if not isinstance(head.get("companyId"), str) or not isinstance(head.get("publishedAt"), str):
        return None
    if INSTANT.fullmatch(head["publishedAt"]) is None:
        return None
    return head


def nanoseconds(text):
    """As a text that can be compared."""
    seconds, _, fraction = INSTANT.fullmatch(text).groups()
    return seconds + (fraction or "").ljust(9, "0")


def is_digest(value):
    return isinstance(value, str) and HEX.fullmatch(value) is not None


def is_signed(published, keys):
    public, text = keys.get(published.get("keyId")), published.get("signature")
    if public is None or not isinstance(text, str):
        return False
    try:
        signature = base64.b64decode(text, validate=True)
    except ValueError:
        return False
    is_its_text = base64.b64encode(signature).decode() == text
    return is_its_text and is_signature(public, published["head"].encode(), signature)


def read_keys(path):
    keys = {}
    for jwk in read_json(path)["keys"]:
        if jwk.get("kty") == "OKP" and jwk.get("crv") == "Ed25519":
            keys[jwk["kid"]] = base64.urlsafe_b64decode(jwk["x"] + "=" * (-len(jwk["x"]) % 4))
    return keys


def published_in(value):
    if isinstance(value, dict):
        published = {name: value.get(name) for name in ("head", "keyId", "signature")}
        if all(isinstance(member, str) for member in published.values()):
            return [published]
    if not isinstance(value, (dict, list)):
        return []
    return [one for member in (value.values() if isinstance(value, dict) else value) for one in published_in(member)]


def read_outside_heads(path):
    found = []
    for line in lines_of_file(path):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        for published in published_in(value):
            head = read_head(published)
            if head is None:
                raise Refused("a head from outside cannot be read")
            found.append((head, published))
    if not found:
        raise Refused("there is no head in the file")
    return found


# ---- Files


def lines_of_file(path):
    with open(path, "rb") as file:
        for line in file:
            line = line.rstrip(b"\n")
            if line != b"":
                yield line.decode("utf-8", "replace")


def objects_of(folder, names):
    for name in names:
        for line in lines_of_file(os.path.join(folder, name)):
            try:
                value = json.loads(line)
            except ValueError as error:
                raise Refused(f"{name} is not JSON") from error
            if not isinstance(value, dict):
                raise Refused(f"{name} has a line that is no object")
            yield value


def read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise Refused(f"{path} cannot be read") from error


def read_manifest(folder):
    manifest = read_json(os.path.join(folder, "manifest.json"))
    if manifest.get("format") != "accubooks-seal-bundle" or manifest.get("version") != 1:
        raise Refused("the manifest is of another version")
    listed = set()
    for file in manifest["files"]:
        if FILE_NAME.fullmatch(file["path"]) is None:
            raise Refused(f"{file['path']} is no file of a bundle")
        listed.add(file["path"])
        path = os.path.join(folder, file["path"])
        if not os.path.isfile(path):
            raise Refused(f"{file['path']} is missing")
        with open(path, "rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != file["sha256"]:
                raise Refused(f"{file['path']} is not as it was exported")
    for company in manifest["companies"]:
        for log in LOGS:
            of_log = os.path.join(folder, company["id"], log)
            there = os.listdir(of_log) if os.path.isdir(of_log) else []
            if any(f"{company['id']}/{log}/{name}" not in listed for name in there):
                raise Refused("a file is not listed")
            if any(f"{company['id']}/{log}/{name}.ndjson" not in listed for name in ("batches", "heads")):
                raise Refused("a file is not listed")
    return manifest


# ---- One log


class Walk:
    def __init__(self, folder, manifest, company, log, keys, outside):
        self.company_id, self.log, self.keys, self.manifest = company["id"], log, keys, manifest
        self.told = company["logs"][log]
        self.outside = {}
        for head, published in outside:
            if head["companyId"] == self.company_id and head["log"] == log:
                self.outside.setdefault(head["number"], []).append((head, published))
        of_log = os.path.join(folder, self.company_id, log)
        names = sorted(name for name in os.listdir(of_log) if name.startswith("rows-"))
        self.rows = objects_of(of_log, names)
        self.batches = objects_of(of_log, ["batches.ndjson"])
        self.heads = objects_of(of_log, ["heads.ndjson"])
        self.upcoming = next(self.heads, None)
        start = self.told["start"]
        self.next = 1 if start is None else start["number"]
        self.agreed = self.next - 1
        self.row_epoch = None
        self.explained = []
        self.chain = bytes(32)
        self.head, self.head_text = None, None
        self.roots, self.since, self.since_id = [], self.next, None

    def differs(self, kind, number, row_id=None):
        raise Differs(kind, self.company_id, self.log, number, row_id)

    def run(self):
        if self.told["start"] is not None:
            self.begin(self.told["start"])
        for batch in self.batches:
            self.walk_batch(batch)
        behind = next(self.rows, None)
        if behind is not None:
            self.differs("row-order", self.next, behind.get("id"))
        if self.upcoming is not None:
            self.differs("head-beyond", self.next)
        if self.told["last"] != self.next - 1:
            raise Refused("the manifest names another last row")
        self.check_heads_beyond()

    def begin(self, start):
        number, published = start["number"], start["head"]
        head = read_head(published)
        if (
            head is None
            or (head["companyId"], head["log"]) != (self.company_id, self.log)
            or (head["number"], head["digest"]) != (number - 1, start["digest"])
        ):
            self.differs("start-altered", number)
        if not is_signed(published, self.keys):
            self.differs("head-signature", number)
        if not is_stamped(published):
            self.differs("head-time-stamp", number)
        self.chain = bytes.fromhex(start["digest"])
        self.head, self.head_text = head, published["head"]
        self.row_epoch = head["epoch"]
        self.check_outside(head["number"])

    def walk_batch(self, batch):
        first, last = batch.get("first"), batch.get("last")
        if first != self.next or type(last) is not int or last < first:
            self.differs("batch-order", self.next)
        leaves, first_id = [], None
        self.row_epoch = batch["epoch"]
        for number in range(first, last + 1):
            row = next(self.rows, None)
            if row is None or row.get("number") != number:
                self.differs("row-order", number, None if row is None else row.get("id"))
            self.check_row(row)
            if number == first:
                first_id = row["id"]
            if number == self.since:
                self.since_id = row["id"]
            leaf = bytes.fromhex(row["leaf"])
            leaves.append(leaf)
            self.chain = sha256(self.chain + number.to_bytes(8, "big") + leaf)
            self.next = number + 1
            self.check_outside(number)
        if self.chain.hex() != batch["head"]:
            self.differs("chain-broken", first, first_id)
        if tree_hash(leaves).hex() != batch["root"]:
            self.differs("tree-broken", first, first_id)
        self.roots.append(bytes.fromhex(batch["root"]))
        if self.upcoming is not None:
            head = read_head(self.upcoming)
            if head is None or head["number"] <= last:
                self.check_head(self.upcoming, head, last)
                self.upcoming = next(self.heads, None)

    def check_row(self, row):
        number, row_id, content = row["number"], row.get("id"), row.get("content")
        if not is_digest(row.get("leaf")):
            self.differs("row-altered", number, row_id)
        if content is None:
            if self.log != "audit" or row.get("archived") is not True:
                self.differs("row-missing", number, row_id)
            return
        value = read_canonical(content)
        if value is None or leaf_of(content).hex() != row["leaf"]:
            self.differs("row-altered", number, row_id)
        if value["version"] != 1:
            raise Refused("a content is of another version")
        own_id = value.get("entryId" if self.log == "journal" else "id")
        if (value["companyId"], value["log"], own_id) != (self.company_id, self.log, row_id):
            self.differs("row-foreign", number, row_id)
        if self.log == "journal" and not is_balanced(value):
            self.differs("entry-unbalanced", number, row_id)

    def check_head(self, published, head, last):
        before = self.head
        previous = "0" * 64 if before is None else sha256(self.head_text.encode()).hex()
        if (
            head is None
            or (head["companyId"], head["log"]) != (self.company_id, self.log)
            or head["position"] != (0 if before is None else before["position"]) + 1
            or head["epoch"] < (1 if before is None else before["epoch"])
            or (head["number"], head["digest"]) != (last, self.chain.hex())
            or (head["root"], head["previous"]) != (tree_hash(self.roots).hex(), previous)
        ):
            self.differs("head-altered", self.since, self.since_id)
        if not is_signed(published, self.keys):
            self.differs("head-signature", self.since, self.since_id)
        if not is_stamped(published):
            self.differs("head-time-stamp", self.since, self.since_id)
        self.head, self.head_text = head, published["head"]
        self.roots, self.since, self.since_id = [], last + 1, None

    def check_outside(self, number):
        first = self.agreed + 1
        for head, published in self.outside.get(number, []):
            if not is_signed(published, self.keys):
                self.differs("outside-head-signature", first)
            if head["digest"] == self.chain.hex():
                self.agreed = number
            elif not self.explain(head, self.row_epoch):
                self.differs("outside-head", first)

    def explain(self, head, row_epoch):
        found = explanation(self.manifest, self.told.get("epochs", []), head, row_epoch)
        if found is not None and found not in self.explained:
            self.explained.append(found)
        return found is not None

    def check_heads_beyond(self):
        if self.manifest["asked"]["to"] is not None:
            return
        for number in sorted(self.outside):
            for head, published in self.outside[number]:
                if number >= self.next and nanoseconds(head["publishedAt"]) <= nanoseconds(self.manifest["exportedAt"]):
                    if not is_signed(published, self.keys):
                        self.differs("outside-head-signature", self.next)
                    if not self.explain(head, None):
                        self.differs("outside-head-beyond", self.next)


def explanation(manifest, starts, head, row_epoch):
    """By the first epoch that began after the head, from a lower number. None where there is none, or nobody has stated why."""
    kept = {start["epoch"]: start["number"] for start in starts}
    for began in sorted(manifest["epochs"], key=lambda one: one["epoch"]):
        epoch = began["epoch"]
        is_later = epoch > head["epoch"] or nanoseconds(began["beganAt"]) > nanoseconds(head["publishedAt"])
        if not is_later or kept.get(epoch, 0) >= head["number"] or (row_epoch is not None and epoch > row_epoch):
            continue
        if began["operator"] is None or began["reason"] is None:
            return None
        return {name: head[name] for name in ("companyId", "log", "position", "number", "publishedAt")} | {
            "epoch": epoch,
            "lastKept": kept.get(epoch, 0),
            "operator": began["operator"],
            "reason": began["reason"],
        }
    return None


def is_balanced(entry):
    sums = {}
    for line in entry["lines"]:
        sums[line["currency"]] = sums.get(line["currency"], 0) + int(line["amount"])
    return all(value == 0 for value in sums.values())


# ---- What is asked


def verify_bundle(folder, keys_path, heads_paths):
    manifest = read_manifest(folder)
    keys = read_keys(keys_path or os.path.join(folder, "keys.json"))
    outside = [found for path in heads_paths or [] for found in read_outside_heads(path)]
    differences, explained = [], []
    for company in manifest["companies"]:
        for log in LOGS:
            walk = Walk(folder, manifest, company, log, keys, outside)
            try:
                walk.run()
            except Differs as differs:
                differences.append(differs.found)
            explained += walk.explained
    if manifest["asked"]["company"] is None:
        known = {company["id"] for company in manifest["companies"]}
        exported = nanoseconds(manifest["exportedAt"])
        unknown = {}
        for head, published in outside:
            if head["companyId"] not in known and nanoseconds(head["publishedAt"]) <= exported:
                unknown.setdefault(head["companyId"], []).append((head, published))
        # A restore may have taken a company, too.
        gone = {}
        for company_id, heads in sorted(unknown.items()):
            heads.sort(key=lambda one: (one[0]["number"], one[0]["log"]))
            found = [explanation(manifest, [], head, None) if is_signed(published, keys) else None for head, published in heads]
            if None not in found:
                gone[company_id] = [one for i, one in enumerate(found) if one not in found[:i]]
        for company_id in sorted(set(unknown) - set(gone)):
            differences.append(Differs("outside-company", company_id, "journal", 1).found)
        explained += [one for found in gone.values() for one in found]
    return differences, explained


def verify_proof(path, keys_path):
    proof, keys = read_json(path), read_keys(keys_path)
    if not proof["rows"]:
        raise Refused("the proof has no rows")
    differences = []
    for row in proof["rows"]:
        kind, row_id = check_proof(proof, row, keys)
        if kind is not None:
            differences.append(Differs(kind, proof["companyId"], row["log"], row["number"], row_id).found)
    return differences


def verify_example(path):
    example = read_json(path)
    public = bytes.fromhex(example["key"]["public"])
    wrong = []
    for log in LOGS:
        chain = bytes(32)
        for number, row in enumerate(example[log], start=1):
            content, salt = read_canonical(row["content"]), bytes.fromhex(row["salt"])
            digests = salted_members(content)
            expected = {
                name: sha256(salt + canonical([name, value]).encode()).hex() for name, value in row["salted"].items()
            }
            chain = sha256(chain + number.to_bytes(8, "big") + leaf_of(row["content"]))
            found = (digests, leaf_of(row["content"]).hex(), chain.hex(), number)
            if found != (expected, row["leaf"], row["chain"], row["number"]):
                wrong.append(f"{log} {number}")
    root = tree_hash([leaf_of(row["content"]) for row in example["journal"]]).hex()
    head = read_head(example["journalHead"])
    if root != example["journalRoot"] or (head["root"], head["digest"]) != (root, example["journal"][-1]["chain"]):
        wrong.append("root")
    signature = base64.b64decode(example["journalHead"]["signature"])
    if not is_signature(public, example["journalHead"]["head"].encode(), signature):
        wrong.append("signature")
    return wrong


def salted_members(content):
    names = ["metadata", "request", "answer"] + (["description"] if content["log"] == "journal" else ["errorMessage"])
    members = {name: content[name] for name in names}
    for place, line in enumerate(content.get("lines", [])):
        members[f"lines.{place}.memo"] = line["memo"]
    return {name: value for name, value in members.items() if value is not None}


def check_proof(proof, row, keys):
    value = read_canonical(row["content"])
    row_id = None if value is None else value.get("entryId" if row["log"] == "journal" else "id")
    if value is None or leaf_of(row["content"]).hex() != row["leaf"]:
        return "row-altered", row_id
    if value["version"] != 1:
        raise Refused("a content is of another version")
    if (value["companyId"], value["log"], value["writeId"]) != (proof["companyId"], row["log"], proof["writeId"]):
        return "row-foreign", row_id
    if row["log"] == "journal" and not is_balanced(value):
        return "entry-unbalanced", row_id
    found = bytes.fromhex(row["leaf"])
    for step in row["path"] + row["batchPath"]:
        beside = bytes.fromhex(step["digest"])
        found = node_of(beside, found) if step["side"] == "left" else node_of(found, beside)
    head = read_head(row["head"])
    if head is None or (head["companyId"], head["log"], head["root"]) != (proof["companyId"], row["log"], found.hex()):
        return "head-altered", row_id
    if not is_signed(row["head"], keys):
        return "head-signature", row_id
    if not is_stamped(row["head"]):
        return "head-time-stamp", row_id
    return None, row_id


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--heads", action="append")
    for name in ("--keys", "--proof", "--example"):
        parser.add_argument(name)
    parser.add_argument("folder", nargs="?")
    asked = parser.parse_args()
    explained = []
    try:
        if asked.example is not None:
            differences = verify_example(asked.example)
        elif asked.proof is None:
            differences, explained = verify_bundle(asked.folder, asked.keys, asked.heads)
        else:
            differences = verify_proof(asked.proof, asked.keys)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 2
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        print(f"something in it has another form: {error!r}", file=sys.stderr)
        return 2
    print(json.dumps({"differences": differences, "explained": explained}))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
