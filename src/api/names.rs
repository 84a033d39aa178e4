//! Names that the API server takes, where somebody names an object and it cannot be asked.

/// Whether the text is a DNS label (RFC 1123), as names of namespaces and workload types are.
#[must_use]
pub fn is_dns_label(text: &str) -> bool {
    let is_inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(is_inner)
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dns_label_is_short_and_has_letters_at_its_ends() {
        for text in ["a", "kube-system", "1st", &"a".repeat(63)] {
            assert!(is_dns_label(text), "{text}");
        }
        for text in ["", " ", "a b", "-a", "a-", "Shop", "a.b", "a/b", &"a".repeat(64)] {
            assert!(!is_dns_label(text), "{text}");
        }
    }
}
