//! Keys and random bytes that are the same for each run of an input.

use std::sync::atomic::{AtomicU8, Ordering};

use access_tokens_domain::Result;
use access_tokens_domain::ports::{BoxFuture, HashWork, Purpose, Random, Secrets, Verdict};
use access_tokens_domain::secret::{CodeHash, PassCodeHash, SealedCode, Secret};

/// Random bytes in ascending order.
#[derive(Default)]
pub(crate) struct Counting(AtomicU8);

impl Random for Counting {
    fn fill(&self, buffer: &mut [u8]) -> Result<()> {
        buffer.iter_mut().for_each(|byte| *byte = self.0.fetch_add(1, Ordering::Relaxed));
        Ok(())
    }
}

/// Hashes and seals that hide nothing, but are bound to purpose and subject.
pub(crate) struct PlainSecrets;

impl Secrets for PlainSecrets {
    fn hash(&self, _: HashWork, secret: Secret) -> BoxFuture<'_, Result<PassCodeHash>> {
        Box::pin(async move { Ok(PassCodeHash::from_stored(secret.expose())) })
    }

    fn verify(&self, _: HashWork, secret: Secret, stored: Option<PassCodeHash>) -> BoxFuture<'_, Result<Verdict>> {
        let same = stored.is_some_and(|stored| stored.as_stored() == secret.expose());
        Box::pin(async move { Ok(if same { Verdict::Right } else { Verdict::Wrong }) })
    }

    fn accepts(&self, stored: &PassCodeHash) -> bool {
        stored.as_stored().starts_with('$')
    }

    fn code_hash(&self, purpose: Purpose, subject: &str, code: &Secret) -> Result<CodeHash> {
        Ok(CodeHash::from_stored(bound(purpose, subject, code.expose())))
    }

    fn code_matches(&self, purpose: Purpose, subject: &str, code: &Secret, stored: Option<&CodeHash>) -> bool {
        stored.is_some_and(|stored| stored.as_stored() == bound(purpose, subject, code.expose()))
    }

    fn seal(&self, purpose: Purpose, subject: &str, code: &Secret) -> Result<SealedCode> {
        Ok(SealedCode::from_stored(bound(purpose, subject, code.expose())))
    }

    fn open(&self, purpose: Purpose, subject: &str, sealed: &SealedCode) -> Result<Secret> {
        let code = sealed.as_stored().strip_prefix(&bound(purpose, subject, ""));
        Ok(Secret::new(code.expect("a code is opened for the subject for which it was sealed")))
    }
}

fn bound(purpose: Purpose, subject: &str, code: &str) -> String {
    format!("{}/{subject}/{code}", purpose.name())
}
