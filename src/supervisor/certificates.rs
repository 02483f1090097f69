//! Certificates that change while the relay runs. A new pair is looked at before it takes the old one's place, and a
//! bad one does not: calls go on as they are, and one line of the log says why.

use tracing::{error, info, warn};

use crate::config::{CertificateFiles, ReadCertificate, UtcTime};
use crate::engine::Tls;

/// The certificates that are shown, and where they came from.
pub(super) struct LiveCertificates {
    tls: Tls,
    shown: Vec<Shown>,
}

struct Shown {
    files: CertificateFiles,
    read: ReadCertificate,
}

impl LiveCertificates {
    /// Those in `files`, which were checked a moment ago.
    ///
    /// # Errors
    /// One of them has changed for the worse since.
    pub(super) fn new(tls: Tls, files: Vec<CertificateFiles>, now_unix: u64) -> Result<Self, String> {
        let shown = files.into_iter().map(|files| {
            let read = files.read(now_unix).map_err(|why| why.sentence)?;
            Ok(Shown { files, read })
        });
        let this = Self { tls, shown: shown.collect::<Result<_, String>>()? };
        this.show();
        Ok(this)
    }

    /// The files whose change matters.
    pub(super) fn files(&self) -> impl Iterator<Item = &std::path::Path> {
        self.shown.iter().flat_map(|shown| [shown.files.chain.as_path(), shown.files.key.as_path()])
    }

    /// Reads all again, and shows what is new and good.
    pub(super) fn reload(&mut self, now_unix: u64) {
        let changed = self.shown.iter_mut().filter_map(|shown| shown.reload(now_unix).then_some(())).count();
        if changed > 0 {
            self.show();
        }
    }

    fn show(&self) {
        self.tls.replace(self.shown.iter().map(|shown| shown.read.certificate.clone()).collect());
    }
}

impl Shown {
    /// Whether there is something new.
    fn reload(&mut self, now_unix: u64) -> bool {
        let file = self.files.chain.display();
        let new = match self.files.read(now_unix) {
            Ok(new) if new.chain == self.read.chain => return false,
            Ok(new) => new,
            Err(why) => {
                error!("the new certificate is not taken, and the old one stays: {}", why.sentence);
                return false;
            }
        };
        if let Some(grave) = new.faults.iter().find(|fault| fault.is_grave) {
            error!(%file, "the new certificate is not taken, and the old one stays: {}", grave.sentence);
            return false;
        }
        for fault in &new.faults {
            warn!(%file, "of the new certificate: {}", fault.sentence);
        }
        let until = UtcTime::from_unix_secs(new.not_after);
        info!(%file, names = new.names.join(" "), %until, "a new certificate is shown from now on");
        self.read = new;
        true
    }
}
