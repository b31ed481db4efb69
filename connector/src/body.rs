//! The body of an answer, read within bounds. Not here: where the parts come from (`wasm/`).

use crate::error::{Delivery, ErrorKind};
use crate::http::{GLANCE, TransportError};

/// The largest body that is taken, and the memory that one may take: a body whose size nobody states needs twice its size
/// at its end, so only half as much of it is taken.
const LIMIT: usize = 64 * 1024 * 1024;

/// How much is asked for at once: enough to keep the number of calls low, little beside the body itself.
pub(crate) const PART: u64 = 64 * 1024;

/// A body of unstated size is kept in blocks of about this size. In one piece it would be copied, and need its memory twice
/// and more, each time that it outgrows it.
const BLOCK: usize = 1024 * 1024;

/// Reads so much of a body that is passed on. The answer is also whether that was all.
pub(crate) fn begin(
    mut next: impl FnMut(u64) -> Result<Option<Vec<u8>>, TransportError>,
) -> Result<(Vec<u8>, bool), TransportError> {
    let mut start = Vec::new();
    while start.len() < GLANCE {
        match next(PART)? {
            Some(part) => start.extend_from_slice(&part),
            None => return Ok((start, true)),
        }
    }
    Ok((start, false))
}

/// Joins the parts that `next` gives. With a size that was `declared` the memory needed is that of the body and one part.
pub(crate) fn collect(
    declared: Option<usize>,
    next: impl FnMut(u64) -> Result<Option<Vec<u8>>, TransportError>,
) -> Result<Vec<u8>, TransportError> {
    collect_up_to(LIMIT, declared, next)
}

fn collect_up_to(
    memory: usize,
    declared: Option<usize>,
    mut next: impl FnMut(u64) -> Result<Option<Vec<u8>>, TransportError>,
) -> Result<Vec<u8>, TransportError> {
    let (limit, block_size) = match declared {
        Some(_) => (memory, usize::MAX),
        None => (memory / 2, BLOCK),
    };
    let mut blocks = vec![reserved(declared.unwrap_or_default(), limit)?];
    let mut size = 0;
    while let Some(part) = next(PART)? {
        size += part.len();
        if size > limit {
            return Err(too_large(limit));
        }
        match blocks.last_mut() {
            Some(block) if block.len().saturating_add(part.len()) <= block_size => {
                append(block, &part, limit)?;
            }
            _ => blocks.push(part),
        }
        // Whoever has all of it need not ask for the end.
        if declared == Some(size) {
            break;
        }
    }
    if let [_] = blocks.as_slice() {
        return Ok(blocks.pop().unwrap_or_default());
    }
    let mut body = reserved(size, limit)?;
    blocks.iter().for_each(|block| body.extend_from_slice(block));
    Ok(body)
}

/// Without the check an allocation that fails ends the instance, and with it what is known of the request.
fn append(block: &mut Vec<u8>, part: &[u8], limit: usize) -> Result<(), TransportError> {
    block.try_reserve(part.len()).map_err(|_| too_large(limit))?;
    block.extend_from_slice(part);
    Ok(())
}

fn reserved(size: usize, limit: usize) -> Result<Vec<u8>, TransportError> {
    let mut body = Vec::new();
    if size > limit || body.try_reserve_exact(size).is_err() {
        return Err(too_large(limit));
    }
    Ok(body)
}

fn too_large(limit: usize) -> TransportError {
    TransportError {
        kind: ErrorKind::TooLarge,
        delivery: Delivery::Unknown,
        message: format!(
            "the answer is larger than {} MiB, the most that is taken; ask for less of it at once",
            limit / (1024 * 1024)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(parts: &[&[u8]]) -> impl FnMut(u64) -> Result<Option<Vec<u8>>, TransportError> {
        let mut parts: Vec<Vec<u8>> = parts.iter().rev().map(|part| part.to_vec()).collect();
        move |_| Ok(parts.pop())
    }

    #[test]
    fn parts_are_joined_whatever_was_declared() {
        for declared in [None, Some(0), Some(5), Some(10)] {
            let body = collect_up_to(10, declared, parts(&[b"ab", b"", b"cde"])).unwrap();
            assert_eq!(body, b"abcde");
        }
    }

    #[test]
    fn a_body_is_begun_and_left_to_others() {
        let part = vec![b'x'; GLANCE / 2 + 1];
        for (count, read, is_all) in [(0, 0, true), (1, 1, true), (2, 2, false), (9, 2, false)] {
            let (start, ended) = begin(parts(&vec![part.as_slice(); count])).unwrap();
            assert_eq!((start.len(), ended), (read * part.len(), is_all), "{count}");
        }
    }

    #[test]
    fn nobody_asks_for_more_than_there_is() {
        let mut parts = [b"ab", b"cd"].into_iter();
        let next = |_| Ok(Some(parts.next().expect("there is no more").to_vec()));
        assert_eq!(collect(Some(4), next).unwrap(), b"abcd");
    }

    #[test]
    fn blocks_are_joined_in_their_order() {
        let all: Vec<Vec<u8>> = (0..9).map(|n| vec![n; BLOCK / 3 + usize::from(n)]).collect();
        let slices: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
        let body = collect(None, parts(&slices)).unwrap();
        assert!(body == all.concat());
        assert_eq!(body.capacity(), body.len());
    }

    #[test]
    fn declared_size_is_the_memory_that_is_taken() {
        let body = collect_up_to(9, Some(5), parts(&[b"ab", b"cde"])).unwrap();
        assert_eq!(body.capacity(), 5);
    }

    #[test]
    fn bodies_beyond_the_limit_are_not_taken() {
        let unread = |_| panic!("read although the size was declared");
        assert_eq!(collect_up_to(9, Some(10), unread).unwrap_err().kind, ErrorKind::TooLarge);
        for (declared, limit) in [(Some(3), 4), (None, 8)] {
            let error = collect_up_to(limit, declared, parts(&[b"abcd", b"e"])).unwrap_err();
            assert_eq!((error.kind, error.delivery), (ErrorKind::TooLarge, Delivery::Unknown));
            assert_eq!(collect_up_to(limit, declared, parts(&[b"ab", b"cd"])).unwrap(), b"abcd");
        }
    }

    #[test]
    fn failure_of_a_part_is_the_failure_of_the_body() {
        let failure = TransportError {
            kind: ErrorKind::Timeout,
            delivery: Delivery::Unknown,
            message: "x".to_owned(),
        };
        let error = failure.clone();
        let mut first = true;
        let next = move |_| {
            if std::mem::take(&mut first) { Ok(Some(b"ab".to_vec())) } else { Err(error.clone()) }
        };
        assert_eq!(collect(Some(4), next).unwrap_err(), failure);
    }
}
