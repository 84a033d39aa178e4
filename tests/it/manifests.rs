//! The manifests as they are, before a real API server.

use std::path::Path;

use treenail_lab::User;
use treenail_lab::shared::on_lab;

use crate::support::cluster::{kubectl, soon};
use crate::support::world::{on_treenail, treenail};

#[test]
fn everything_below_manifests_is_accepted_by_the_api_server() {
    // Where Treenail is not installed: there the configurations have a URL in the Service's place.
    on_lab(async |lab| {
        treenail().install_crds(lab).await.unwrap();
        treenail().install_roles(lab).await.unwrap();
        for folder in ["crds", "base", "examples"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests").join(folder);
            let arguments = ["apply", "--dry-run=server", "-f", path.to_str().unwrap()];
            let outcome = kubectl(lab, &User::administrator()).run(&arguments).await.unwrap();
            assert!(outcome.success, "{folder}: {}", outcome.stderr);
        }
    });
}

#[test]
fn the_native_policies_have_no_type_errors() {
    on_treenail(async |world| {
        let jsonpath = "jsonpath={range .items[*]}{.metadata.name} {.status.typeChecking}{\"\\n\"}{end}";
        let arguments = ["get", "validatingadmissionpolicies", "-o", jsonpath];
        // A controller checks the types a moment after the policies are written.
        let expected = "treenail-bindings {}\ntreenail-namespace-guard {}\n";
        let kubectl = kubectl(&world.lab, &User::administrator());
        let mut found = String::new();
        let checked = soon("the policies are checked", async || {
            found = kubectl.run(&arguments).await.ok()?.stdout;
            (found == expected).then_some(())
        });
        let is_checked = checked.await.is_ok();
        assert!(is_checked, "{found}");
    });
}
