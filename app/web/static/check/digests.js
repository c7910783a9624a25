// SHA-256 and CRC-32 of bytes that arrive in pieces.
//
// crypto.subtle takes no stream, and a page on plain HTTP, as in most class rooms, does not have it.

const roots = (power) => {
  const found = [];
  for (let n = 2; found.length < 64; n++) {
    if (found.some(([prime]) => n % prime === 0)) continue;
    found.push([n, Math.floor((n ** power % 1) * 2 ** 32)]);
  }
  return Uint32Array.from(found, ([, word]) => word);
};

const K = roots(1 / 3);
const BLOCK = 64;

export class Sha256 {
  constructor() {
    this.state = roots(1 / 2).slice(0, 8);
    this.words = new Uint32Array(64);
    this.kept = new Uint8Array(BLOCK);
    this.nKept = 0;
    this.nBytes = 0;
  }

  update(bytes) {
    this.nBytes += bytes.length;
    let at = 0;
    if (this.nKept) {
      at = Math.min(BLOCK - this.nKept, bytes.length);
      this.kept.set(bytes.subarray(0, at), this.nKept);
      this.nKept += at;
      if (this.nKept < BLOCK) return this;
      this.#mix(this.kept, 0);
      this.nKept = 0;
    }
    for (; at + BLOCK <= bytes.length; at += BLOCK) this.#mix(bytes, at);
    this.kept.set(bytes.subarray(at));
    this.nKept = bytes.length - at;
    return this;
  }

  hex() {
    const nBytes = this.nBytes;
    const tail = new Uint8Array(((this.nKept + 8) >> 6) * BLOCK + BLOCK - this.nKept);
    tail[0] = 0x80;
    const view = new DataView(tail.buffer);
    view.setUint32(tail.length - 8, Math.floor(nBytes / 2 ** 29));
    view.setUint32(tail.length - 4, (nBytes * 8) % 2 ** 32);
    this.update(tail);
    return [...this.state].map((word) => word.toString(16).padStart(8, "0")).join("");
  }

  #mix(bytes, at) {
    const w = this.words;
    for (let i = 0; i < 16; i++, at += 4)
      w[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15];
      const y = w[i - 2];
      const low = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const high = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[i] = (w[i - 16] + low + w[i - 7] + high) | 0;
    }
    let [a, b, c, d, e, f, g, h] = this.state;
    for (let i = 0; i < 64; i++) {
      const high = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const first = (h + high + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
      const low = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const second = (low + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + first) | 0;
      d = c;
      c = b;
      b = a;
      a = (first + second) | 0;
    }
    const s = this.state;
    s[0] += a;
    s[1] += b;
    s[2] += c;
    s[3] += d;
    s[4] += e;
    s[5] += f;
    s[6] += g;
    s[7] += h;
  }
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

export class Crc32 {
  value = 0xffffffff;

  update(bytes) {
    let value = this.value;
    for (let i = 0; i < bytes.length; i++) value = CRC[(value ^ bytes[i]) & 255] ^ (value >>> 8);
    this.value = value;
  }

  end() {
    return ~this.value >>> 0;
  }
}
