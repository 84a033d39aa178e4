//! On-demand list prices of the instance types that the demo can come across: Linux, us-east-1, dollars an hour, from AWS's price list.
//!
//! A table of the lab's own: what Treenail believes is not what it is judged by.

const C7I_LARGE: f64 = 0.08925;
const M5A_LARGE: f64 = 0.086;

/// Dollars an hour of a c7i or m5a type.
pub(crate) fn dollars_per_hour(instance_type: &str) -> Option<f64> {
    let (family, size) = instance_type.split_once('.')?;
    let large = match family {
        "c7i" => C7I_LARGE,
        "m5a" => M5A_LARGE,
        _ => return None,
    };
    // Within a family, the price follows the number of CPUs.
    let times = match size {
        "large" => 1.0,
        "xlarge" => 2.0,
        "2xlarge" => 4.0,
        "4xlarge" => 8.0,
        "8xlarge" => 16.0,
        "12xlarge" => 24.0,
        "16xlarge" => 32.0,
        "24xlarge" => 48.0,
        "48xlarge" => 96.0,
        _ => return None,
    };
    Some(large * times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_those_of_the_list() {
        assert_eq!(dollars_per_hour("c7i.xlarge"), Some(0.1785));
        assert_eq!(dollars_per_hour("m5a.large"), Some(0.086));
        assert_eq!(dollars_per_hour("t3.large"), None);
    }
}
