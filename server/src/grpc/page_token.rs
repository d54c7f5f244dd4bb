//! Page tokens: where a listing goes on. A token names the generation of the listing, so that all its pages are of one,
//! and the listing itself, so that a token of another is refused. To clients it is opaque.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tonic::Status;

use super::status::invalid_field;

/// The most bytes of a page, unless it has one entry: clients take 4 MiB if nobody tells them otherwise.
const PAGE_BYTES_MAX: usize = 3 << 20;

/// Where a listing goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageToken {
    /// The generation of the first page; 0 for listings that have none.
    pub(crate) generation: u64,
    /// What came last.
    pub(crate) last: String,
}

impl PageToken {
    /// The token of a listing, which is known by its method and arguments.
    pub(crate) fn seal(&self, listing: &str) -> String {
        URL_SAFE_NO_PAD.encode(json!([1, listing, self.generation, self.last]).to_string())
    }

    /// Reads a token that `listing` gave; `None` for the first page.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for anything else.
    pub(crate) fn open(token: &str, listing: &str) -> Result<Option<Self>, Status> {
        if token.is_empty() {
            return Ok(None);
        }
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
            let (version, of, generation, last): (u32, String, u64, String) = serde_json::from_slice(&bytes).ok()?;
            (version == 1 && of == listing).then_some(Self { generation, last })
        };
        read().map(Some).ok_or_else(invalid_token)
    }

    /// What came last, as `read` makes it of the text.
    ///
    /// # Errors
    /// INVALID_ARGUMENT if it makes nothing of it: the listing never gave such a token.
    pub(crate) fn last_read<T>(&self, read: impl FnOnce(&str) -> Option<T>) -> Result<T, Status> {
        read(&self.last).ok_or_else(invalid_token)
    }
}

/// INVALID_ARGUMENT for a token that the listing did not give.
fn invalid_token() -> Status {
    let message = "it is not one that this request gave: repeat the request with its other fields unchanged, or begin without a token";
    invalid_field("page_token", "PAGE_TOKEN_INVALID", message)
}

/// How many rows a page has: `asked`, or `default` for 0.
///
/// # Errors
/// INVALID_ARGUMENT below 0 and above `most`.
pub(crate) fn page_size(asked: i32, default: usize, most: usize) -> Result<usize, Status> {
    match usize::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(size) if size <= most => Ok(size),
        _ => Err(invalid_field("page_size", "INPUT_INVALID", format!("must be from 0 to {most}"))),
    }
}

/// How many entries a page has of which these are the encoded `lengths`: at most `size`, as many as one message may hold, and at
/// least one.
pub(crate) fn fitting(lengths: impl Iterator<Item = usize>, size: usize) -> usize {
    let mut bytes = 0;
    let fitting = lengths.take(size).take_while(|length| {
        bytes += length;
        bytes <= PAGE_BYTES_MAX
    });
    fitting.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_a_token_goes_on_with_its_own_listing_only() {
        let token = PageToken { generation: 7, last: "abc".to_owned() };
        let sealed = token.seal("members of loyal");
        assert_eq!(PageToken::open(&sealed, "members of loyal").unwrap(), Some(token));
        assert_eq!(PageToken::open("", "members of loyal").unwrap(), None);
        for (token, listing) in [(sealed.as_str(), "members of quiet"), ("nonsense", "x"), ("!", "x")] {
            assert_eq!(PageToken::open(token, listing).unwrap_err().code(), tonic::Code::InvalidArgument);
        }
    }

    #[test]
    fn test_a_token_whose_place_cannot_be_read_is_refused() {
        let token = |last: &str| PageToken { generation: 7, last: last.to_owned() };
        let read = |last: &str| token(last).last_read(|last| last.parse::<u32>().ok());
        assert_eq!(read("12").unwrap(), 12);
        for wrong in ["", "abc", "-1", "99999999999999999999"] {
            assert!(read(wrong).unwrap_err().message().starts_with("`page_token`: "), "{wrong}");
        }
    }

    #[test]
    fn test_page_sizes() {
        assert_eq!(page_size(0, 100, 1000).unwrap(), 100);
        assert_eq!(page_size(1000, 100, 1000).unwrap(), 1000);
        assert!(page_size(-1, 100, 1000).is_err() && page_size(1001, 100, 1000).is_err());
    }

    #[test]
    fn test_a_page_is_no_longer_than_clients_read() {
        let third = PAGE_BYTES_MAX / 3;
        assert_eq!(fitting([third; 7].into_iter(), 100), 3);
        assert_eq!(fitting([third; 7].into_iter(), 2), 2);
        assert_eq!(fitting([PAGE_BYTES_MAX + 1, 1].into_iter(), 100), 1, "one that is longer is a page of its own");
    }
}
