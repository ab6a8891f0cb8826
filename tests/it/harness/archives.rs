//! ZIP files that are as bad as a test needs them.

use std::io::Write as _;

/// One member.
pub struct Member {
    name: String,
    method: u16,
    flags: u16,
    crc: u32,
    size: u32,
    data: Vec<u8>,
}

impl Member {
    /// Its bytes as they are.
    pub fn stored(name: &str, bytes: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            method: 0,
            flags: 0,
            crc: crc_fast::crc32_iso_hdlc(bytes),
            size: u32::try_from(bytes.len()).expect("small"),
            data: bytes.to_vec(),
        }
    }

    /// So many zero bytes, deflated to a thousandth.
    pub fn zeros(name: &str, size: u32) -> Self {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut crc = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32IsoHdlc);
        let block = vec![0; 1 << 20];
        let mut left = size as usize;
        while left > 0 {
            let now = &block[..left.min(block.len())];
            encoder.write_all(now).expect("into memory");
            crc.update(now);
            left -= now.len();
        }
        let data = encoder.finish().expect("into memory");
        let crc = u32::try_from(crc.finalize()).expect("32 bits");
        Self { name: name.to_owned(), method: 8, flags: 0, crc, size, data }
    }

    /// Says of itself that it is encrypted.
    pub fn encrypted(mut self) -> Self {
        self.flags |= 1;
        self
    }

    /// Says of itself that it is packed by a method that nobody knows.
    pub fn by_method(mut self, method: u16) -> Self {
        self.method = method;
        self
    }

    fn fields(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for short in [20, self.flags, self.method, 0, 0x5a21] {
            out.extend(short.to_le_bytes());
        }
        let packed = u32::try_from(self.data.len()).expect("small");
        for long in [self.crc, packed, self.size] {
            out.extend(long.to_le_bytes());
        }
        out.extend(u16::try_from(self.name.len()).expect("short").to_le_bytes());
        out.extend(0_u16.to_le_bytes());
        out
    }
}

/// A ZIP of these members.
pub fn zip(members: &[Member]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        let offset = u32::try_from(out.len()).expect("small");
        out.extend(b"PK\x03\x04");
        out.extend(member.fields());
        out.extend(member.name.as_bytes());
        out.extend(&member.data);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(member.fields());
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(member.name.as_bytes());
    }
    let count = u16::try_from(members.len()).expect("at most 65535");
    let (start, length) = (out.len(), directory.len());
    out.extend(directory);
    out.extend(b"PK\x05\x06\x00\x00\x00\x00");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(u32::try_from(length).expect("small").to_le_bytes());
    out.extend(u32::try_from(start).expect("small").to_le_bytes());
    out.extend([0, 0]);
    out
}

/// A ZIP in a ZIP in a ZIP, so many deep; the innermost holds a text.
pub fn nested(depth: usize) -> Vec<u8> {
    let mut inner = zip(&[Member::stored("a.txt", b"at last")]);
    for _ in 1..depth {
        inner = zip(&[Member::stored("inner.zip", &inner)]);
    }
    inner
}
