//! The keys that are in force.
//!
//! Owns what a keys file means: which secret, signing key or certificate is whose, until when, and for what. Never reads
//! or writes the file. Invariant: a file is in force as a whole or not at all.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use jiff::Timestamp;
use subtle::ConstantTimeEq as _;
use yue_engine::model::{AddressPrefix, Scope, Scopes};

use super::{
    file::{KeyEntry, KeysFile, SecretEntry, hash},
    in_force::Streams,
    rate::Bucket,
};
use crate::hexadecimal::from_hex;

/// Secrets of a key at the same time: the one in use and the next one.
pub(crate) const SECRETS_MAX: usize = 2;
/// Bytes of a key's id.
const ID_BYTES_MAX: usize = 64;

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) scopes: Scopes,
    pub(crate) prefix: Option<AddressPrefix>,
    pub(crate) bucket: Option<Arc<Bucket>>,
    pub(crate) streams: Streams,
    secrets: Vec<Secret>,
}

struct Secret {
    hash: [u8; 32],
    signing: Option<[u8; 32]>,
    not_after: Option<Timestamp>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl Secret {
    fn is_good(&self, now: Timestamp) -> bool {
        self.not_after.is_none_or(|end| now < end)
    }
}

impl Key {
    /// What signatures are checked with now, each with its end.
    pub(crate) fn signing_keys(
        &self,
        now: Timestamp,
    ) -> impl Iterator<Item = (&[u8; 32], Option<Timestamp>)> {
        let good = self.secrets.iter().filter(move |secret| secret.is_good(now));
        good.filter_map(|secret| Some((secret.signing.as_ref()?, secret.not_after)))
    }

    /// Whether it is another one's successor, with the same rights.
    pub(crate) fn is_still(&self, other: &Self) -> bool {
        (&self.id, self.scopes, &self.prefix) == (&other.id, other.scopes, &other.prefix)
    }
}

/// All keys.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    by_id: BTreeMap<String, Arc<Key>>,
    by_certificate: HashMap<[u8; 32], Arc<Key>>,
}

impl Keys {
    /// What a file means. The buckets of keys whose rate is the same go on as they are, and so do counts of streams.
    ///
    /// # Errors
    /// What can't be.
    pub(crate) fn new(file: &KeysFile, before: &Self) -> Result<Self, String> {
        let mut keys = Self::default();
        for entry in &file.keys {
            let key = Arc::new(key(entry, before).map_err(|reason| format!("key {:?}: {reason}", entry.id))?);
            for certificate in &entry.certificates {
                let certificate = from_hex(&certificate.replace(':', "")).ok_or_else(|| {
                    format!("key {:?}: a certificate is no SHA-256 in hexadecimal", entry.id)
                })?;
                if keys.by_certificate.insert(certificate, Arc::clone(&key)).is_some() {
                    return Err(format!("key {:?}: a certificate is there twice", entry.id));
                }
            }
            if keys.by_id.insert(entry.id.clone(), key).is_some() {
                return Err(format!("key {:?} is there twice", entry.id));
            }
        }
        Ok(keys)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Arc<Key>> {
        self.by_id.get(id)
    }

    /// The key of a bearer, `id.secret`, the secret's hash, and its end.
    pub(crate) fn of_bearer(
        &self,
        bearer: &str,
        now: Timestamp,
    ) -> Option<(&Arc<Key>, [u8; 32], Option<Timestamp>)> {
        let (id, secret) = bearer.split_once('.')?;
        let hash = hash(secret);
        let (key, ends_at) = self.of_secret(id, &hash, now)?;
        Some((key, hash, ends_at))
    }

    /// The key of this id, if its secret has this hash, and the secret's end.
    pub(crate) fn of_secret(
        &self,
        id: &str,
        hash: &[u8; 32],
        now: Timestamp,
    ) -> Option<(&Arc<Key>, Option<Timestamp>)> {
        let key = self.by_id.get(id)?;
        let mut good = key.secrets.iter().filter(|secret| secret.is_good(now));
        let secret = good.find(|secret| secret.hash.ct_eq(hash).into())?;
        Some((key, secret.not_after))
    }

    /// The key of a client's certificate.
    pub(crate) fn of_certificate(&self, fingerprint: &[u8; 32]) -> Option<&Arc<Key>> {
        self.by_certificate.get(fingerprint)
    }
}

fn key(entry: &KeyEntry, before: &Keys) -> Result<Key, String> {
    let KeyEntry { id, label: _, scopes: names, prefix, rate, burst, certificates: _, secrets } = entry;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(plain) {
        return Err(format!("an id has 1 to {ID_BYTES_MAX} of a-z, 0-9, - and _"));
    }
    if secrets.len() > SECRETS_MAX {
        return Err(format!("it has more than {SECRETS_MAX} secrets"));
    }
    let prefix = prefix.as_deref().map(AddressPrefix::parse).transpose();
    let prefix = prefix.map_err(|_| "its prefix is not the first parts of an address".to_owned())?;
    let bucket = match (*rate, *burst) {
        (None, None) => None,
        (None, Some(_)) => return Err("it has a burst and no rate".to_owned()),
        (Some(0), _) | (_, Some(0)) => return Err("a rate and a burst are 1 or more".to_owned()),
        (Some(rate), burst) => {
            let burst = burst.unwrap_or(rate);
            let same = before.find(id).and_then(|key| key.bucket.clone());
            let same = same.filter(|bucket| bucket.is_of(rate, burst));
            Some(same.unwrap_or_else(|| Arc::new(Bucket::new(rate, burst))))
        }
    };
    let secrets = secrets.iter().map(secret).collect::<Result<_, _>>()?;
    let streams = before.find(id).map(|key| key.streams.clone()).unwrap_or_default();
    Ok(Key { id: id.clone(), scopes: scopes(names)?, prefix, bucket, streams, secrets })
}

/// The scopes of these names; `wallet:*` is both of the wallet's.
pub(crate) fn scopes(names: &[String]) -> Result<Scopes, String> {
    let mut scopes = Scopes::default();
    for name in names {
        scopes = match (name.as_str(), Scope::parse(name)) {
            ("wallet:*", _) => scopes.with(Scope::WalletRead).with(Scope::WalletWrite),
            (_, Some(scope)) => scopes.with(scope),
            (_, None) => return Err(format!("there is no scope {name:?}")),
        };
    }
    Ok(scopes)
}

fn secret(SecretEntry { hash, signing, not_after }: &SecretEntry) -> Result<Secret, String> {
    // What is wrong is not quoted: it may be the secret itself.
    let read =
        |text: &str, what: &str| from_hex(text).ok_or_else(|| format!("{what} is not 64 hexadecimal digits"));
    let not_after = not_after.as_deref().map(str::parse::<Timestamp>).transpose();
    Ok(Secret {
        hash: read(hash, "the hash of a secret")?,
        signing: signing.as_deref().map(|text| read(text, "a signing key")).transpose()?,
        not_after: not_after.map_err(|_| "not_after is no RFC 3339 time".to_owned())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::file::NewSecret;

    fn file(keys: &str) -> KeysFile {
        toml::from_str(keys).unwrap()
    }

    #[test]
    fn what_can_not_be_is_refused() {
        let check = |keys: &str, message: &str| {
            let refusal = Keys::new(&file(keys), &Keys::default()).unwrap_err();
            assert!(refusal.contains(message), "{keys}: {refusal}");
        };
        let one = |rest: &str| format!("[[key]]\nid = 'a'\nscopes = []\n{rest}");
        check("[[key]]\nid = ''\nscopes = []", "an id has");
        check("[[key]]\nid = 'a.b'\nscopes = []", "an id has");
        check("[[key]]\nid = 'a'\nscopes = ['all']", "no scope \"all\"");
        check(&format!("{}\n{}", one(""), one("")), "twice");
        check(&one("prefix = 'customers:'"), "its prefix");
        check(&one("burst = 1"), "a burst and no rate");
        check(&one("rate = 0"), "1 or more");
        check(&one("certificates = ['00']"), "certificate");
        check(&one("[[key.secret]]\nhash = '00'"), "64 hexadecimal digits");
        let secret = format!("[[key.secret]]\nhash = '{}'\n", "0".repeat(64));
        check(&one(&secret.repeat(3)), "more than 2 secrets");
        check(&one(&format!("{secret}not_after = 'soon'")), "not_after");
        check(&one(&format!("{secret}signing = '00'")), "a signing key");
        for unread in ["[[keys]]", "[[key]]\nid = 'a'\nscopes = []\nadmin = true"] {
            assert!(toml::from_str::<KeysFile>(unread).is_err(), "{unread}");
        }
    }

    #[test]
    fn secrets_are_good_until_their_end() {
        let (old, new) = (NewSecret::random(), NewSecret::random());
        let end = "2026-06-18T00:00:00Z".parse::<Timestamp>().unwrap();
        let ending = SecretEntry { not_after: Some(end.to_string()), ..old.entry(true) };
        let entry =
            KeyEntry { id: "a".into(), secrets: vec![ending, new.entry(false)], ..KeyEntry::default() };
        let keys = Keys::new(&KeysFile { keys: vec![entry] }, &Keys::default()).unwrap();
        let before = end - jiff::SignedDuration::from_secs(1);
        let good = |bearer: &str, now| keys.of_bearer(bearer, now).is_some();
        assert!(good(&old.bearer("a"), before) && good(&new.bearer("a"), before));
        assert!(!good(&old.bearer("a"), end) && good(&new.bearer("a"), end));
        for bad in ["", "a", "a.", "b.x", &old.bearer("b"), &format!("{}x", new.bearer("a"))] {
            assert!(!good(bad, before), "{bad}");
        }
        let key = keys.find("a").unwrap();
        assert_eq!((key.signing_keys(before).count(), key.signing_keys(end).count()), (1, 0));
        let shown = format!("{keys:?}");
        assert!(!shown.contains("hash") && !shown.contains("signing"), "{shown}");
    }

    #[test]
    fn a_bucket_outlives_a_file_that_keeps_its_rate() {
        let first = Keys::new(&file("[[key]]\nid = 'a'\nscopes = []\nrate = 5"), &Keys::default()).unwrap();
        let bucket = |keys: &Keys| keys.find("a").and_then(|key| key.bucket.clone()).unwrap();
        let same = Keys::new(&file("[[key]]\nid = 'a'\nscopes = ['operator']\nrate = 5"), &first).unwrap();
        assert!(Arc::ptr_eq(&bucket(&first), &bucket(&same)));
        let other = Keys::new(&file("[[key]]\nid = 'a'\nscopes = []\nrate = 6"), &first).unwrap();
        assert!(!Arc::ptr_eq(&bucket(&first), &bucket(&other)));
    }
}
