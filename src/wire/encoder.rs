//! Content codings as they are written: bytes in, compressed bytes out, flushed whenever somebody waits for them.
//!
//! `stream::compressed` feeds an [`Encoder`] piece by piece, `proxy::compress` hands [`whole`] a short answer. The settings
//! are those of a proxy: most of what can be saved for little time. Limit: the window is at most [`WINDOW`], so one
//! encoder takes at most some 3 MiB, and every browser can read what it writes.

use std::io;

use bytes::{Bytes, BytesMut};
use compression_codecs::brotli::params::EncoderParams;
use compression_codecs::core::Level;
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::flate::params::FlateEncoderParams;
use compression_codecs::zstd::params::CParameter;
use compression_codecs::{BrotliEncoder, EncodeV2, GzipEncoder, ZstdEncoder};

use super::accept_encoding::Coding;

/// The largest window, as a power of two.
const WINDOW: u32 = 18;
/// The smallest that brotli and zstd both know.
const SMALLEST_WINDOW: u32 = 10;

const GZIP: Level = Level::Precise(5);
const BROTLI: Level = Level::Precise(4);
const ZSTD: Level = Level::Precise(3);

/// How much room is made for output at once.
const ROOM: usize = 8 << 10;

/// Writes one body in one coding.
#[derive(Debug)]
pub struct Encoder(Codec);

#[derive(Debug)]
enum Codec {
    Brotli(Box<BrotliEncoder>),
    Zstd(ZstdEncoder),
    Gzip(GzipEncoder),
}

impl Encoder {
    /// For a body of this length, if it is known: a short one needs less memory.
    pub fn new(coding: Coding, length: Option<u64>) -> Self {
        let needed = length.map_or(WINDOW, |length| u64::BITS - length.leading_zeros());
        let window = needed.clamp(SMALLEST_WINDOW, WINDOW);
        Self(match coding {
            Coding::Brotli => {
                let hint = length.and_then(|length| usize::try_from(length).ok());
                let params = EncoderParams::default()
                    .quality(BROTLI)
                    .window_size(window.cast_signed())
                    .size_hint(hint.unwrap_or_default());
                Codec::Brotli(Box::new(BrotliEncoder::new(params)))
            }
            Coding::Zstd => {
                let level = CParameter::quality(ZSTD);
                let params = [CParameter::window_log(window)];
                Codec::Zstd(ZstdEncoder::new_with_params(level, &params))
            }
            Coding::Gzip => Codec::Gzip(GzipEncoder::new(FlateEncoderParams::from(GZIP))),
        })
    }

    /// Takes all of `input`; what is written of it is appended to `out`.
    pub fn encode(&mut self, input: &[u8], out: &mut BytesMut) -> io::Result<()> {
        let mut input = PartialBuffer::new(input);
        // Gzip takes an empty piece for a mistake.
        while !input.unwritten().is_empty() {
            self.write(out, |codec, room| codec.encode(&mut input, room))?;
        }
        Ok(())
    }

    /// Appends whatever has been taken and not been written: the other side can read all of it.
    pub fn flush(&mut self, out: &mut BytesMut) -> io::Result<()> {
        while !self.write(out, EncodeV2::flush)? {}
        Ok(())
    }

    /// Appends the end. Nothing comes after it.
    pub fn finish(&mut self, out: &mut BytesMut) -> io::Result<()> {
        while !self.write(out, EncodeV2::finish)? {}
        Ok(())
    }

    fn write<T>(
        &mut self,
        out: &mut BytesMut,
        step: impl FnOnce(&mut (dyn EncodeV2 + 'static), &mut WriteBuffer<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let codec: &mut (dyn EncodeV2 + 'static) = match &mut self.0 {
            Codec::Brotli(codec) => &mut **codec,
            Codec::Zstd(codec) => codec,
            Codec::Gzip(codec) => codec,
        };
        let before = out.len();
        out.resize(before + ROOM, 0);
        let room = out.get_mut(before..).unwrap_or_default();
        let mut room = WriteBuffer::new_initialized(room);
        let done = step(codec, &mut room);
        let written = room.written_len();
        out.truncate(before + written);
        done
    }
}

/// All of `text` in this coding.
pub fn whole(coding: Coding, text: &[u8]) -> io::Result<Bytes> {
    let mut encoder = Encoder::new(coding, Some(text.len() as u64));
    let mut out = BytesMut::with_capacity(text.len() / 2 + ROOM);
    encoder.encode(text, &mut out)?;
    encoder.finish(&mut out)?;
    Ok(out.freeze())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use compression_codecs::{BrotliDecoder, DecodeV2, GzipDecoder, ZstdDecoder};
    use proptest::prelude::*;

    pub(crate) const CODINGS: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

    /// What a client reads of `bytes`, and whether the end was among them.
    pub(crate) fn decoded(coding: Coding, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut decoder: Box<dyn DecodeV2> = match coding {
            Coding::Brotli => Box::new(BrotliDecoder::new()),
            Coding::Zstd => Box::new(ZstdDecoder::new()),
            Coding::Gzip => Box::new(GzipDecoder::new()),
        };
        let mut input = PartialBuffer::new(bytes);
        let mut text = Vec::new();
        loop {
            let mut room = [0; 4096];
            let mut room = WriteBuffer::new_initialized(&mut room);
            let before = input.written_len();
            // Gzip takes it for a mistake that there is nothing more for now.
            let nothing = input.unwritten().is_empty();
            let ended = decoder
                .decode(&mut input, &mut room)
                .unwrap_or_else(|error| {
                    assert!(nothing, "{error}");
                    false
                });
            let stuck = room.written_len() == 0 && input.written_len() == before;
            text.extend_from_slice(room.written());
            if ended || stuck {
                assert!(input.unwritten().is_empty());
                return (text, ended);
            }
        }
    }

    /// Words that repeat, so that there is something to save.
    pub(crate) fn text(length: usize) -> Vec<u8> {
        let words = (0..).flat_map(|n: u32| format!("<li>{}</li>\n", n % 977 * 31).into_bytes());
        words.take(length).collect()
    }

    #[test]
    fn a_text_becomes_shorter() {
        for coding in CODINGS {
            let text = text(20_000);
            let short = whole(coding, &text).unwrap();
            assert!(short.len() * 3 < text.len(), "{coding:?}: {}", short.len());
            assert_eq!(decoded(coding, &short), (text, true));
        }
    }

    #[test]
    fn nothing_is_a_body_as_well() {
        for coding in CODINGS {
            assert_eq!(
                decoded(coding, &whole(coding, b"").unwrap()),
                (vec![], true)
            );
        }
    }

    #[test]
    fn a_browser_can_hold_the_window() {
        // RFC 9659: no more than 8 MiB; ours says 256 KiB for a body of any length.
        let mut decoder = ZstdDecoder::new_with_params(&[
            compression_codecs::zstd::params::DParameter::window_log_max(WINDOW),
        ]);
        let text = text(3 << 20);
        let mut encoder = Encoder::new(Coding::Zstd, None);
        let mut out = BytesMut::new();
        encoder.encode(&text, &mut out).unwrap();
        encoder.finish(&mut out).unwrap();
        let mut input = PartialBuffer::new(&out[..]);
        let mut room = vec![0; text.len() + 1];
        let mut room = WriteBuffer::new_initialized(&mut room);
        while !decoder.decode(&mut input, &mut room).unwrap() {}
        assert_eq!(room.written(), text);
    }

    proptest! {
        #[test]
        fn what_was_flushed_can_be_read_and_nothing_is_lost(
            pieces in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..300), 0..40_usize, any::<bool>()), 0..20),
            known in any::<bool>(),
        ) {
            for coding in CODINGS {
                let all: Vec<Vec<u8>> = pieces.iter().map(|(piece, times, _)| piece.repeat(*times)).collect();
                let length = all.iter().map(Vec::len).sum::<usize>() as u64;
                let mut encoder = Encoder::new(coding, known.then_some(length));
                let (mut out, mut taken) = (BytesMut::new(), Vec::new());
                for (piece, (_, _, flush)) in all.iter().zip(&pieces) {
                    encoder.encode(piece, &mut out).unwrap();
                    taken.extend_from_slice(piece);
                    if *flush {
                        encoder.flush(&mut out).unwrap();
                        // Twice is as good as once.
                        encoder.flush(&mut out).unwrap();
                        prop_assert_eq!(decoded(coding, &out), (taken.clone(), false));
                    }
                }
                encoder.finish(&mut out).unwrap();
                prop_assert_eq!(decoded(coding, &out), (taken, true));
            }
        }
    }
}
