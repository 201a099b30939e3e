//! Compressed input, unpacked as it is read.
//!
//! Both decoders are safe Rust: what they read may come from anywhere. What they hold is bounded by
//! the window of the format: 32 KiB for gzip, and for zstd what its own tool takes.

use std::io::{self, BufReader, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Bytes of a window that a zstd file may ask for: what `zstd -d` takes without `--long`.
const WINDOW_BYTES_MAX: u64 = 128 << 20;
/// Bytes that are read ahead for a decoder.
const AHEAD_BYTES: usize = 64 << 10;
/// How input is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    Gzip,
    Zstd,
}

/// Endings of names.
const ENDINGS: &[(&str, Packing)] = &[(".gz", Packing::Gzip), (".zst", Packing::Zstd)];

/// How files begin.
const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
/// The second to the fourth byte of a frame of zstd that readers skip; the first one is 0x50 to 0x5f.
const SKIPPED: &[u8] = b"\x2a\x4d\x18";

/// How files of other programs begin, and what unpacks them.
const OTHERS: &[(&[u8], &str)] = &[(b"\xfd7zXZ\0", "xzcat"), (b"BZh", "bzcat")];

fn by_ending(name: &str) -> Option<(&str, Packing)> {
    ENDINGS.iter().find_map(|(ending, packing)| {
        let at = name.len().checked_sub(ending.len())?;
        let (stem, end) = name.split_at_checked(at)?;
        end.eq_ignore_ascii_case(ending).then_some((stem, *packing))
    })
}

/// The name without the ending that tells of compression.
pub fn without_ending(name: &str) -> &str {
    by_ending(name).map_or(name, |(stem, _)| stem)
}

fn may_be_skipped(magic: &[u8]) -> bool {
    magic.split_first().is_some_and(|(first, rest)| {
        first & 0xf0 == 0x50 && (SKIPPED.starts_with(rest) || rest.starts_with(SKIPPED))
    })
}

/// Whether bytes that follow may show that it is compressed, if the first do not yet.
pub fn is_undecided(magic: &[u8]) -> bool {
    let known = [GZIP, ZSTD].into_iter().chain(OTHERS.iter().map(|(known, _)| *known));
    let is_short = |known: &[u8]| magic.len() < known.len() && known.starts_with(magic);
    magic.is_empty()
        || known.into_iter().any(is_short)
        || (magic.len() < 4 && may_be_skipped(magic))
}

/// How the file of that name is compressed, which begins so; none if it is not.
///
/// # Errors
/// It is compressed otherwise, or it is not what its name says.
pub fn of(name: &str, magic: &[u8]) -> Result<Option<Packing>, String> {
    if let Some((_, tool)) = OTHERS.iter().find(|(known, _)| magic.starts_with(known)) {
        return Err(format!(
            "it is compressed in a form that is not read here; unpack it: {tool} {name} | \
             headwater sql ..."
        ));
    }
    if magic.starts_with(GZIP) {
        return Ok(Some(Packing::Gzip));
    }
    if magic.starts_with(ZSTD) || (magic.len() >= 4 && may_be_skipped(magic)) {
        return Ok(Some(Packing::Zstd));
    }
    match by_ending(name) {
        Some((_, packing)) if !magic.is_empty() => {
            let what = if packing == Packing::Gzip { "gzip" } else { "zstd" };
            Err(format!(
                "it is not compressed by {what}, as its name says; read it by another name, or from \
                 standard input: headwater sql ... < {name}"
            ))
        }
        _ => Ok(None),
    }
}

/// Unpacks what it reads.
pub enum Unpacker<R: Read> {
    None(R),
    Gzip(Box<MultiGzDecoder<BufReader<R>>>),
    Zstd(Box<Zstd<BufReader<R>>>),
}

impl<R: Read> Unpacker<R> {
    pub fn new(reader: R, packing: Option<Packing>) -> Unpacker<R> {
        let buffered = |reader| BufReader::with_capacity(AHEAD_BYTES, reader);
        match packing {
            None => Unpacker::None(reader),
            Some(Packing::Gzip) => Unpacker::Gzip(Box::new(MultiGzDecoder::new(buffered(reader)))),
            Some(Packing::Zstd) => Unpacker::Zstd(Box::new(Zstd::new(buffered(reader)))),
        }
    }

    /// What it reads from.
    pub fn get_ref(&self) -> &R {
        match self {
            Unpacker::None(reader) => reader,
            Unpacker::Gzip(gzip) => gzip.get_ref().get_ref(),
            Unpacker::Zstd(zstd) => zstd.source.get_ref(),
        }
    }

    /// What it reads from, if it is not compressed.
    pub fn plain_mut(&mut self) -> Option<&mut R> {
        if let Unpacker::None(reader) = self { Some(reader) } else { None }
    }
}

impl<R: Read> Read for Unpacker<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let told = |what: &str, error: io::Error| match error.kind() {
            ErrorKind::UnexpectedEof => {
                let what = format!("the {what} data is cut off; what it holds up to there is read");
                io::Error::new(ErrorKind::UnexpectedEof, what)
            }
            ErrorKind::InvalidInput | ErrorKind::InvalidData => {
                let what = format!(
                    "the {what} data is damaged: {error}; what it holds up to there is read"
                );
                io::Error::new(ErrorKind::InvalidData, what)
            }
            _ => error,
        };
        match self {
            Unpacker::None(reader) => reader.read(room),
            Unpacker::Gzip(gzip) => gzip.read(room).map_err(|error| told("gzip", error)),
            Unpacker::Zstd(zstd) => zstd.read(room).map_err(|error| told("zstd", error)),
        }
    }
}

/// Frames of zstd, one behind the other, with their checksums.
pub struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    state: State,
}

enum State {
    Between,
    InFrame,
    /// All that can be read is in the decoder; then this is told.
    Failed(Option<io::Error>),
}

impl<R: io::BufRead> Zstd<R> {
    fn new(source: R) -> Zstd<R> {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW_BYTES_MAX);
        Zstd { source, decoder, state: State::Between }
    }

    /// Goes on to the next frame; false at the end.
    fn begin(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    let skipped = io::copy(&mut (&mut self.source).take(length), &mut io::sink())?;
                    if skipped < length {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(FrameDecoderError::WindowSizeTooBig { requested, .. }) => {
                    return Err(io::Error::other(format!(
                        "the zstd data asks for a window of {requested} bytes, and the limit is \
                         128 MiB; compress it without --long, or unpack it: zstdcat --long=31 FILE | \
                         headwater sql ..."
                    )));
                }
                Err(error) => return Err(failure(error)),
            }
        }
    }

    /// Ends the frame with what was decoded of it: its window is held back until then.
    fn cut_off(&mut self) {
        // An empty last block, and room for a checksum that nobody looks at.
        let end: &[u8] = &[1, 0, 0, 0, 0, 0, 0];
        let _ = self.decoder.decode_blocks(end, BlockDecodingStrategy::UptoBlocks(1));
    }
}

impl<R: io::BufRead> Read for Zstd<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if room.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.state {
                State::Failed(error) => match self.decoder.read(room)? {
                    0 => return error.take().map_or(Ok(0), Err),
                    read => return Ok(read),
                },
                State::Between => match self.begin()? {
                    true => self.state = State::InFrame,
                    false => return Ok(0),
                },
                State::InFrame => {
                    let read = self.decoder.read(room)?;
                    if read > 0 {
                        return Ok(read);
                    }
                    if self.decoder.is_finished() {
                        self.state = State::Between;
                        let written = self.decoder.get_checksum_from_data();
                        if written.is_some() && written != self.decoder.get_calculated_checksum() {
                            return Err(io::Error::new(
                                ErrorKind::InvalidData,
                                "its checksum does not match",
                            ));
                        }
                        continue;
                    }
                    let one = BlockDecodingStrategy::UptoBlocks(1);
                    if let Err(error) = self.decoder.decode_blocks(&mut self.source, one) {
                        let error = failure(error);
                        // A block that is not there has added nothing, one that is broken perhaps has.
                        if error.kind() == ErrorKind::UnexpectedEof {
                            self.cut_off();
                        }
                        self.state = State::Failed(Some(error));
                    }
                }
            }
        }
    }
}

/// The decoder's error, or that of the reader below it.
fn failure(error: FrameDecoderError) -> io::Error {
    if let FrameDecoderError::FailedToReadChecksum(error) = error {
        return error;
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(this) = cause {
        if let Some(io) = this.downcast_ref::<io::Error>() {
            return match io.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(io.kind(), io.to_string()),
            };
        }
        cause = this.source();
    }
    io::Error::new(ErrorKind::InvalidData, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    use std::io::Write;

    const LINES: usize = 20_000;

    fn text() -> Vec<u8> {
        let line = |n: usize| format!("cpu,host=h{} usage={}i {n}\n", n % 17, n * 31 % 101);
        (0..LINES).map(line).collect::<String>().into_bytes()
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(data: &[u8]) -> Vec<u8> {
        compress_to_vec(data, CompressionLevel::Fastest)
    }

    /// What is read, and the error behind it.
    fn read(data: &[u8], packing: Packing) -> (Vec<u8>, Option<String>) {
        let mut unpacker = Unpacker::new(data, Some(packing));
        let mut out = Vec::new();
        let mut room = vec![0; 10_000];
        loop {
            match unpacker.read(&mut room) {
                Ok(0) => return (out, None),
                Ok(read) => out.extend_from_slice(&room[..read]),
                Err(error) => return (out, Some(error.to_string())),
            }
        }
    }

    #[test]
    fn several_members_and_frames() {
        let text = text();
        let (one, other) = text.split_at(text.len() / 3);
        let check = |data: &[u8], packing| {
            let (out, error) = read(data, packing);
            assert!(out == text && error.is_none(), "{} bytes, {error:?}", out.len());
        };
        check(&[gzip(one), gzip(b""), gzip(other)].concat(), Packing::Gzip);
        let skipped = b"\x5a\x2a\x4d\x18\x03\0\0\0abc".to_vec();
        check(
            &[skipped.clone(), zstd(one), skipped, zstd(b""), zstd(other)].concat(),
            Packing::Zstd,
        );
        for packing in [Packing::Gzip, Packing::Zstd] {
            assert_eq!(read(b"", packing).0, b"");
        }
    }

    #[test]
    fn what_is_cut_off_is_read_up_to_there() {
        let text = text();
        for (packed, packing, word) in
            [(gzip(&text), Packing::Gzip, "gzip"), (zstd(&text), Packing::Zstd, "zstd")]
        {
            for part in 1..20 {
                let (out, error) = read(&packed[..packed.len() * part / 20], packing);
                let error = error.unwrap();
                assert!(error.starts_with(&format!("the {word} data is cut off")), "{error}");
                assert!(text.starts_with(&out));
                // A block of zstd has up to 128 KiB.
                let expected = (text.len() * part / 20).saturating_sub(200 << 10);
                assert!(out.len() >= expected, "{} of {}", out.len(), expected);
            }
        }
    }

    #[test]
    fn damage_is_told() {
        let text = text();
        for (mut packed, packing) in [(gzip(&text), Packing::Gzip), (zstd(&text), Packing::Zstd)] {
            let last = packed.len() - 5;
            packed[last] ^= 0x40;
            let (_, error) = read(&packed, packing);
            assert!(error.unwrap().contains("data is damaged"));
        }
        let (out, error) = read(&[gzip(b"x\n"), b"garbage".to_vec()].concat(), Packing::Gzip);
        assert_eq!(out, b"x\n");
        assert!(error.unwrap().contains("what it holds up to there is read"));
        // Any bytes end in words, not in a panic.
        let packed = zstd(&text);
        for at in 4..packed.len().min(400) {
            let mut broken = packed.clone();
            broken[at] = !broken[at];
            read(&broken, Packing::Zstd);
        }
    }

    #[test]
    fn a_large_window_is_refused() {
        // Version 8 windows: 2^(10 + 18) bytes.
        let header = [ZSTD, &[0, 18 << 3]].concat();
        let (_, error) = read(&header, Packing::Zstd);
        let error = error.unwrap();
        assert!(error.contains("a window of 268435456 bytes"), "{error}");
    }

    #[test]
    fn what_files_are() {
        assert_eq!(of("x", &gzip(b"a")[..6]), Ok(Some(Packing::Gzip)));
        assert_eq!(of("x", &zstd(b"a")[..6]), Ok(Some(Packing::Zstd)));
        assert_eq!(of("x.gz", b""), Ok(None));
        assert_eq!(of("x.csv", b"Pears,"), Ok(None));
        assert!(of("x.GZ", b"a,b").unwrap_err().ends_with("headwater sql ... < x.GZ"));
        assert!(of("x", b"\xfd7zXZ\0").unwrap_err().contains("xzcat x |"));
        assert_eq!(without_ending("a.csv.Gz"), "a.csv");
        assert_eq!(without_ending("ä"), "ä");
        for (magic, expected) in [
            (&b""[..], true),
            (b"\x1f", true),
            (b"\x1f\x8b", false),
            (b"B", true),
            (b"Ba", false),
            (b"P", true),
            (b"P\x2a\x4d", true),
            (b"Pe", false),
            (b"a", false),
        ] {
            assert_eq!(is_undecided(magic), expected, "{magic:?}");
        }
    }
}
