"""Verifies sealed books: a second implementation of docs/seal-format.md, written from that page alone.

    python3 verify_seal.py [--heads FILE] [--keys FILE] [--as-of TIME] [--company ID] [--accept-epoch N] FOLDER
    python3 verify_seal.py --proof FILE --keys FILE
    python3 verify_seal.py --example FILE

The example is that of the page: with the salts, whose digests are checked as well.


Prints {"differences": [{kind, companyId, log, number, id}, ...], "explained": [...], "notCompared": [...], "unlisted": [...]}. Exit code
0: nothing differs. 1: something does. 2: refused, or heads from outside could not be compared. 3: an epoch explains heads, which
--accept-epoch does not name.
Python 3.11 or newer, with its standard library alone.
"""

import argparse
import base64
import hashlib
import json
import os
import re
import sys
import uuid

LOGS = ("journal", "audit")
FILE_NAME = re.compile(
    r"([0-9a-f-]{36}/(journal|audit)/(rows-[0-9]{5}|batches|heads)\.ndjson|README\.txt|keys\.json|verify\.mjs)"
)
INSTANT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.([0-9]{1,9}))?Z")
WRITES = uuid.UUID("b3977cab-3beb-4177-b624-c5471d46253b")
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
    if any(not is_number(head.get(name)) for name in ("position", "epoch", "number")):
        return None
    if any(not is_digest(head.get(name)) for name in ("digest", "root", "previous")):
        return None
    if not isinstance(head.get("companyId"), str) or not isinstance(head.get("publishedAt"), str):
        return None
    if INSTANT.fullmatch(head["publishedAt"]) is None or len(head) != 10:
        return None
    return head


def nanoseconds(text):
    """As a text that can be compared."""
    seconds, _, fraction = INSTANT.fullmatch(text).groups()
    return seconds + (fraction or "").ljust(9, "0")


def is_number(value):
    """Of a row, a head or an epoch: true is none."""
    return type(value) is int and 1 <= value < 2**53


def is_digest(value):
    return isinstance(value, str) and HEX.fullmatch(value) is not None


def is_signed(published, keys):
    key_id, text = published.get("keyId"), published.get("signature")
    public = keys.get(key_id) if isinstance(key_id, str) else None
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
    known = read_json(path)["keys"]
    for jwk in known if isinstance(known, list) else []:
        if not isinstance(jwk, dict) or (jwk.get("kty"), jwk.get("crv")) != ("OKP", "Ed25519"):
            continue
        x = jwk.get("x")
        if isinstance(jwk.get("kid"), str) and isinstance(x, str) and re.fullmatch("[A-Za-z0-9_-]{43}", x):
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
    check_epochs(manifest["epochs"])
    if any(INSTANT.fullmatch(time) is None for time in [manifest["exportedAt"]] + [one["beganAt"] for one in manifest["epochs"]]):
        raise Refused("a time of the manifest is none")
    listed = set()
    for file in manifest["files"]:
        if FILE_NAME.fullmatch(file["path"]) is None:
            raise Refused(f"{file['path']} is no file of a bundle")
        listed.add(file["path"])
        path = os.path.join(folder, file["path"])
        if not os.path.isfile(path):
            raise Refused(f"{file['path']} is missing")
        if type(file["bytes"]) is not int or os.path.getsize(path) != file["bytes"]:
            raise Refused(f"{file['path']} is not as it was exported")
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


def check_epochs(epochs):
    last = 0
    for one in epochs:
        if not is_number(one["epoch"]) or one["epoch"] <= last:
            raise Refused("the epochs are not in their order")
        last = one["epoch"]


# ---- One log


class Walk:
    def __init__(self, folder, manifest, company, log, keys, outside, asked):
        self.asked = asked
        self.company_id, self.log, self.keys, self.manifest = company["id"], log, keys, manifest
        self.told = company["logs"][log]
        self.outside, self.positions = {}, {}
        for head, published in outside:
            if head["companyId"] == self.company_id and head["log"] == log:
                self.outside.setdefault(head["number"], []).append((head, published))
                self.positions.setdefault(head["position"], []).append((head, published))
        self.agreeing, self.listed = {}, set()
        self.starts = self.told.get("epochs", [])
        of_log = os.path.join(folder, self.company_id, log)
        names = sorted(name for name in os.listdir(of_log) if name.startswith("rows-"))
        self.rows = objects_of(of_log, names)
        self.batches = objects_of(of_log, ["batches.ndjson"])
        self.heads = objects_of(of_log, ["heads.ndjson"])
        self.upcoming = next(self.heads, None)
        start = self.told["start"]
        check_epochs(self.starts)
        if start is not None and manifest["asked"]["from"] is None:
            raise Refused("all days were asked for, and the log begins later")
        published = [] if start is None else [start["head"]]
        self.signed = {}
        for head in map(read_head, published + list(objects_of(of_log, ["heads.ndjson"]))):
            if head is not None:
                self.signed.setdefault(head["epoch"], head["publishedAt"])
        self.first = self.next = 1 if start is None else start["number"]
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
        for goes_on in self.starts:
            if goes_on["number"] == head["number"] and (
                goes_on["epoch"] <= head["epoch"]
                or goes_on["digest"] != start["digest"]
                or not is_position(goes_on["head"], head)
            ):
                self.differs("epoch-altered", number)
        self.chain = bytes.fromhex(start["digest"])
        self.head, self.head_text = head, published["head"]
        self.row_epoch = head["epoch"]
        self.check_outside(head["number"])
        self.check_position(published, head, number)

    def walk_batch(self, batch):
        first, last = batch.get("first"), batch.get("last")
        if not is_number(first) or first != self.next or not is_number(last) or last < first:
            self.differs("batch-order", self.next)
        leaves, first_id = [], None
        epoch, epoch_before = batch.get("epoch"), self.row_epoch or 1
        self.row_epoch = epoch
        for number in range(first, last + 1):
            row = next(self.rows, None)
            if row is None or not is_number(row.get("number")) or row["number"] != number:
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
        if self.chain.hex() != batch.get("head"):
            self.differs("chain-broken", first, first_id)
        if tree_hash(leaves).hex() != batch.get("root"):
            self.differs("tree-broken", first, first_id)
        if type(epoch) is not int or epoch < epoch_before or not all(self.goes_on(start, first, last, epoch) for start in self.starts):
            self.differs("epoch-altered", first, first_id)
        self.roots.append(bytes.fromhex(batch["root"]))
        if self.upcoming is not None:
            head = read_head(self.upcoming)
            if head is None or head["number"] <= last:
                self.check_head(self.upcoming, head, last, epoch)
                self.upcoming = next(self.heads, None)
        if any(start["number"] == last and not is_position(start["head"], self.head) for start in self.starts):
            self.differs("epoch-altered", first, first_id)

    def goes_on(self, start, first, last, epoch):
        """Whether the batch fits an epoch that goes on before it, at its end or behind it."""
        number = start["number"]
        if number < first:
            return start["epoch"] <= epoch
        is_here = number == last and start["digest"] == self.chain.hex()
        return start["epoch"] > epoch and (number > last or is_here)

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

    def check_head(self, published, head, last, epoch):
        before = self.head
        previous = "0" * 64 if before is None else sha256(self.head_text.encode()).hex()
        if (
            head is None
            or (head["companyId"], head["log"]) != (self.company_id, self.log)
            or head["position"] != (0 if before is None else before["position"]) + 1
            or head["epoch"] != epoch
            or (head["number"], head["digest"]) != (last, self.chain.hex())
            or (head["root"], head["previous"]) != (tree_hash(self.roots).hex(), previous)
            or (before is not None and nanoseconds(head["publishedAt"]) < nanoseconds(before["publishedAt"]))
        ):
            self.differs("head-altered", self.since, self.since_id)
        if not is_signed(published, self.keys):
            self.differs("head-signature", self.since, self.since_id)
        if not is_stamped(published):
            self.differs("head-time-stamp", self.since, self.since_id)
        self.check_position(published, head, self.since)
        self.head, self.head_text = head, published["head"]
        self.roots, self.since, self.since_id = [], last + 1, None

    def check_outside(self, number):
        first = self.agreed + 1
        for head, published in self.outside.get(number, []):
            if not is_signed(published, self.keys):
                self.differs("outside-head-signature", first)
            if head["digest"] == self.chain.hex():
                self.agreed = number
                self.agreeing[published["head"]] = head
            elif not self.explain(head, self.row_epoch):
                self.differs("outside-head", first)

    def check_position(self, published, head, number):
        """Of one position there is one head, unless an epoch has begun after the other."""
        for other, kept in self.positions.get(head["position"], []):
            self.listed.add(published["head"])
            if kept["head"] == published["head"]:
                continue
            if not is_signed(kept, self.keys):
                self.differs("outside-head-signature", number)
            signed = list(self.signed.items())
            epochs = [one for one in self.manifest["epochs"] if is_later(one, other, signed) and is_stated(one)]
            if not any(has_head(one, signed) for one in epochs):
                self.differs("outside-head", number)

    def explain(self, head, row_epoch):
        found = explanation(self.manifest, self.starts, head, row_epoch, list(self.signed.items()))
        if found is not None and found not in self.explained:
            self.explained.append(found)
        return found is not None

    def is_to_its_end(self):
        days = self.manifest["asked"]
        return days["to"] is None and not (days["from"] is not None and self.next == 1)

    def is_expected(self, head):
        exported = nanoseconds(self.manifest["exportedAt"])
        return head["number"] >= self.next and self.is_to_its_end() and nanoseconds(head["publishedAt"]) <= exported

    def check_heads_beyond(self):
        for number in sorted(self.outside):
            for head, published in self.outside[number]:
                if self.is_expected(head):
                    if not is_signed(published, self.keys):
                        self.differs("outside-head-signature", self.next)
                    if not self.explain(head, None):
                        self.differs("outside-head-beyond", self.next)

    def not_compared(self):
        heads = [head for found in self.outside.values() for head, _ in found]
        before = [head for head in heads if head["number"] < self.first - 1]
        behind = [head for head in heads if head["number"] >= self.next and not self.is_expected(head)]
        later = [head for head in behind if self.asked.is_later(head)]
        return counted(
            {
                "behind-end": [head for head in behind if not self.asked.is_later(head)],
                "before-start": before,
                "published-later": later,
            }
        )

    def unlisted(self):
        names = ("companyId", "log", "position", "number", "publishedAt")
        return [{name: head[name] for name in names} for text, head in self.agreeing.items() if text not in self.listed]


class Asked:
    """What the reader has asked for."""

    def __init__(self, manifest, as_of, company_ids):
        if as_of is not None and INSTANT.fullmatch(as_of) is None:
            raise Refused("--as-of is no time")
        self.until, self.company_ids = nanoseconds(as_of or manifest["exportedAt"]), company_ids

    def is_later(self, head):
        return nanoseconds(head["publishedAt"]) > self.until

    def has(self, company_id):
        return self.company_ids is None or company_id in self.company_ids


def counted(reasons):
    return [
        {
            "companyId": heads[0]["companyId"],
            "log": heads[0]["log"],
            "reason": reason,
            "heads": len(heads),
            "last": max(head["number"] for head in heads),
        }
        for reason, heads in reasons.items()
        if heads
    ]


def is_position(position, last):
    return position is None or (type(position) is int and 1 <= position <= (0 if last is None else last["position"]))


def is_later(epoch, head, signed):
    """By its number, or by its time if no head of it, or of a later one, is older than the head."""
    if epoch["epoch"] > head["epoch"]:
        return True
    at = nanoseconds(head["publishedAt"])
    is_older = any(number >= epoch["epoch"] and nanoseconds(published_at) <= at for number, published_at in signed)
    return nanoseconds(epoch["beganAt"]) > at and not is_older


def has_head(epoch, signed):
    return any(number >= epoch["epoch"] for number, _ in signed)


def is_stated(epoch):
    return isinstance(epoch.get("operator"), str) and isinstance(epoch.get("reason"), str)


def explanation(manifest, starts, head, row_epoch, signed):
    """By the first epoch that began after the head, from a lower number. None where there is none, or nobody has stated why."""
    kept = {start["epoch"]: start["number"] for start in starts}
    for began in manifest["epochs"]:
        epoch = began["epoch"]
        if not is_later(began, head, signed) or kept.get(epoch, 0) >= head["number"] or (row_epoch is not None and epoch > row_epoch):
            continue
        if not is_stated(began) or not has_head(began, signed):
            return None
        return {name: head[name] for name in ("companyId", "log", "position", "number", "publishedAt")} | {
            "epoch": epoch,
            "beganAt": began["beganAt"],
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


def verify_bundle(folder, keys_path, heads_paths, as_of, company_ids):
    manifest = read_manifest(folder)
    keys = read_keys(keys_path or os.path.join(folder, "keys.json"))
    outside = [found for path in heads_paths or [] for found in read_outside_heads(path)]
    asked = Asked(manifest, as_of, company_ids)
    found = {"differences": [], "explained": [], "notCompared": [], "unlisted": []}
    signed = []
    for company in manifest["companies"]:
        for log in LOGS:
            walk = Walk(folder, manifest, company, log, keys, outside, asked)
            signed += walk.signed.items()
            try:
                walk.run()
                found["notCompared"] += walk.not_compared()
                found["unlisted"] += walk.unlisted()
            except Differs as differs:
                found["differences"].append(differs.found)
            found["explained"] += walk.explained
    known = {company["id"] for company in manifest["companies"]}
    exported = nanoseconds(manifest["exportedAt"])
    unknown, others = {}, {}
    for head, published in outside:
        if head["companyId"] in known:
            continue
        is_expected = manifest["asked"]["company"] is None and nanoseconds(head["publishedAt"]) <= exported
        (unknown if is_expected else others).setdefault(head["companyId"], []).append((head, published))
    # A restore may have taken a company, too.
    for company_id, heads in sorted(unknown.items()):
        heads.sort(key=lambda one: (one[0]["number"], one[0]["log"]))
        of_heads = [
            explanation(manifest, [], head, None, signed) if is_signed(published, keys) else None
            for head, published in heads
        ]
        if None in of_heads:
            found["differences"].append(Differs("outside-company", company_id, "journal", 1).found)
        else:
            found["explained"] += [one for i, one in enumerate(of_heads) if one not in of_heads[:i]]
    for company_id, heads in sorted(others.items()):
        for log in LOGS:
            of_log = [head for head, _ in heads if head["log"] == log]
            wanted = of_log if asked.has(company_id) else []
            found["notCompared"] += counted(
                {
                    "not-in-bundle": [head for head in wanted if not asked.is_later(head)],
                    "published-later": [head for head in wanted if asked.is_later(head)],
                    "not-asked": [] if wanted else of_log,
                }
            )
    return found


def exit_code(found, accepted):
    if found["differences"]:
        return 1
    if any(one["reason"] in ("behind-end", "not-in-bundle") for one in found["notCompared"]):
        return 2
    return 0 if all(str(one["epoch"]) in accepted for one in found["explained"]) else 3


def verify_proof(path, keys_path):
    proof, keys = read_json(path), read_keys(keys_path)
    if not is_proof(proof):
        raise Refused("the proof has another form")
    if not proof["rows"]:
        raise Refused("the proof has no rows")
    if any(len([row for row in proof["rows"] if row["log"] == log]) > 1 for log in LOGS):
        raise Refused("the proof has two rows of one log")
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
    leaves = [leaf_of(row["content"]) for row in example["journal"]]
    roots, before = [], None
    upcoming = list(example["journalHeads"])
    for batch in example["journalBatches"]:
        roots.append(tree_hash(leaves[batch["first"] - 1 : batch["last"]]))
        if (batch["root"], batch["head"]) != (roots[-1].hex(), example["journal"][batch["last"] - 1]["chain"]):
            wrong.append(f"batch {batch['first']}")
        head = read_head(upcoming[0])
        if head["number"] != batch["last"]:
            continue
        published = upcoming.pop(0)
        previous = "0" * 64 if before is None else sha256(before.encode()).hex()
        if (head["root"], head["digest"], head["previous"]) != (tree_hash(roots).hex(), batch["head"], previous):
            wrong.append(f"head {head['position']}")
        if not is_signature(public, published["head"].encode(), base64.b64decode(published["signature"])):
            wrong.append(f"signature {head['position']}")
        roots, before = [], published["head"]
    if upcoming or not before:
        wrong.append("heads")
    return wrong


def salted_members(content):
    names = ["metadata", "request", "answer"] + (["description"] if content["log"] == "journal" else ["errorMessage"])
    members = {name: content[name] for name in names}
    for place, line in enumerate(content.get("lines", [])):
        members[f"lines.{place}.memo"] = line["memo"]
    return {name: value for name, value in members.items() if value is not None}


def is_proof(proof):
    def is_step(step):
        return step["side"] in ("left", "right") and is_digest(step["digest"])

    def is_row(row):
        is_text = isinstance(row["content"], str) and isinstance(row["leaf"], str)
        paths = [row["path"], row["batchPath"]]
        are_paths = all(isinstance(one, list) and all(map(is_step, one)) for one in paths)
        return row["log"] in LOGS and is_number(row["number"]) and is_text and are_paths and isinstance(row["head"], dict)

    def is_missing(one):
        return one["log"] in LOGS and isinstance(one["reason"], str)

    lists = [proof["rows"], proof["missing"]]
    return (
        isinstance(proof["companyId"], str)
        and isinstance(proof["key"], str)
        and (proof["writeId"] is None or isinstance(proof["writeId"], str))
        and all(isinstance(one, list) for one in lists)
        and all(map(is_row, proof["rows"]))
        and all(map(is_missing, proof["missing"]))
    )


def check_proof(proof, row, keys):
    value = read_canonical(row["content"])
    row_id = None if value is None else value.get("entryId" if row["log"] == "journal" else "id")
    if value is None or leaf_of(row["content"]).hex() != row["leaf"]:
        return "row-altered", row_id
    if value["version"] != 1:
        raise Refused("a content is of another version")
    if (value["companyId"], value["log"], value["writeId"]) != (proof["companyId"], row["log"], proof["writeId"]):
        return "row-foreign", row_id
    if row["log"] == "audit" and value["idempotencyKey"] != proof["key"]:
        return "row-foreign", row_id
    name = f"company:{proof['companyId']}:op:{value['operation']}:key:{proof['key']}"
    if proof["writeId"] not in (None, str(uuid.uuid5(WRITES, name))):
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
    for name in ("--heads", "--company", "--accept-epoch"):
        parser.add_argument(name, action="append")
    for name in ("--keys", "--proof", "--example", "--as-of"):
        parser.add_argument(name)
    parser.add_argument("folder", nargs="?")
    asked = parser.parse_args()
    found = {"explained": [], "notCompared": [], "unlisted": []}
    try:
        if asked.example is not None:
            found["differences"] = verify_example(asked.example)
        elif asked.proof is None:
            found = verify_bundle(asked.folder, asked.keys, asked.heads, asked.as_of, asked.company)
        else:
            found["differences"] = verify_proof(asked.proof, asked.keys)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 2
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        print(f"something in it has another form: {error!r}", file=sys.stderr)
        return 2
    print(json.dumps(found))
    return exit_code(found, asked.accept_epoch or [])


if __name__ == "__main__":
    sys.exit(main())
