//! The manifests as they are, before a real API server.

use std::path::Path;

use treenail_lab::User;
use treenail_lab::shared::on_lab;

use crate::support::cluster::kubectl;
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
        let outcome = kubectl(&world.lab, &User::administrator()).run(&arguments).await.unwrap();
        assert_eq!(
            outcome.stdout, "treenail-bindings {}\ntreenail-namespace-guard {}\n",
            "{}",
            outcome.stderr
        );
    });
}
