//! ClientCertCNAuth: only clients whose certificate has one of certain common names are admitted. The
//! certificate is that of the connection, whatever headers say.

use std::path::PathBuf;

use super::list::List;
use super::{Admitted, AuthPlugin, Decision, Denial, Presented, Source};

pub(super) fn open(source: &Source) -> Result<Box<dyn AuthPlugin>, String> {
    Ok(Box::new(ClientCert(List::of(source.argument.as_ref(), str::to_owned))))
}

struct ClientCert(List<String>);

impl AuthPlugin for ClientCert {
    fn may_block(&self) -> bool {
        self.0.may_block()
    }

    fn decide(&self, presented: &Presented<'_>) -> Decision {
        let names = match self.0.get(str::to_owned) {
            Ok(names) => names,
            Err(why) => return Decision::Broken(why),
        };
        match presented.common_name {
            Some(name) if names.iter().any(|known| known == name) => {
                Decision::Admitted(Admitted { user: Some(name.into()), cookie: None })
            }
            Some(_) => {
                Decision::Denied(Denial::Forbidden("the client certificate's common name is not listed"))
            }
            None => Decision::Denied(Denial::Forbidden("there is no client certificate with a common name")),
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        self.0.files()
    }
}
