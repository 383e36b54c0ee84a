//! `application/x-www-form-urlencoded`: what is sent to an issuer, and what a browser brings back.

use zeroize::Zeroizing;

use crate::wire::percent_encode;

/// The longest form that is read. A code and a state have some hundred octets, those of Microsoft some thousand.
pub const MAX_FORM_OCTETS: usize = 8 * 1024;

/// Names and values to be sent. It may hold secrets, so its memory is wiped.
#[derive(Default)]
pub struct Form(Zeroizing<String>);

impl Form {
    /// Adds a value.
    #[must_use]
    pub fn with(mut self, name: &str, value: &[u8]) -> Self {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        encode(name.as_bytes(), &mut self.0);
        self.0.push('=');
        encode(value, &mut self.0);
        self
    }

    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A value as it stands in a form.
pub(crate) fn encoded(value: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    encode(value, &mut text);
    text
}

/// Room for three times the octets first, so that no copy without wiping is left where the text grows.
fn encode(value: &[u8], out: &mut Zeroizing<String>) {
    let mut grown = Zeroizing::new(String::with_capacity(out.len() + 3 * value.len() + 2));
    grown.push_str(out);
    percent_encode(value, &mut grown);
    *out = grown;
}

/// The value of `name` in a form; `None` if it is not there, is there twice, or is not UTF-8.
pub(crate) fn value_of(form: &str, name: &str) -> Option<Zeroizing<String>> {
    let mut values = form.split('&').filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (*decode(key)? == *name).then(|| decode(value))
    });
    let value = values.next()?;
    value.filter(|_| values.next().is_none())
}

fn decode(text: &str) -> Option<Zeroizing<String>> {
    let mut octets = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        octets.push(match first {
            b'+' => b' ',
            b'%' => {
                let digits = rest.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
                rest = rest.get(2..)?;
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    std::str::from_utf8(&octets).ok().map(|text| Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let form = Form::default().with("state", b"a b&c=d+e").with("redirect_uri", b"http://127.0.0.1:1/");
        assert_eq!(form.as_str(), "state=a%20b%26c%3Dd%2Be&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2F");
        let read = |name: &str| value_of(form.as_str(), name).map(|value| value.to_string());
        assert_eq!(read("state").as_deref(), Some("a b&c=d+e"));
        assert_eq!(read("redirect_uri").as_deref(), Some("http://127.0.0.1:1/"));
        assert_eq!(read("code"), None);
    }

    #[test]
    fn a_value_that_is_there_twice_or_damaged_is_none() {
        let read = |form: &str| value_of(form, "a").map(|value| value.to_string());
        assert_eq!(read("a=1+2%21").as_deref(), Some("1 2!"));
        assert_eq!(read("a").as_deref(), Some(""));
        for bad in ["a=1&a=2", "a=%", "a=%4", "a=%zz", "a=%+1", "a=%ff", "", "b=1"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
