//! The checksum of the state's files: CRC-32 as in Ethernet and zip.

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut sum = index as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
}

/// The checksum of several pieces, one behind the other.
pub fn crc32(pieces: &[&[u8]]) -> u32 {
    let mut sum = u32::MAX;
    for byte in pieces.iter().copied().flatten() {
        sum = sum >> 8 ^ TABLE[usize::from(sum as u8 ^ byte)];
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        assert_eq!(crc32(&[]), 0);
        assert_eq!(crc32(&[b"123456789"]), 0xcbf4_3926);
        assert_eq!(crc32(&[b"1234", b"", b"56789"]), 0xcbf4_3926);
        assert_eq!(crc32(&[b"The quick brown fox jumps over the lazy dog"]), 0x414f_a339);
    }
}
