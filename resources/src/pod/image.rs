//! Names of images, as far as defaults depend on them.

use api::image;

/// Whether the image names no version: tag `latest`, or neither tag nor digest. A name that cannot be read does not.
pub fn is_latest(image: &str) -> bool {
    image::parse(image).is_ok_and(|name| name.is_bare() || name.tag.as_deref() == Some(image::Name::DEFAULT_TAG))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_images_without_a_version_are_latest() {
        let digest = format!("a@sha256:{}", "0".repeat(64));
        let cases = [
            ("nginx", true),
            ("nginx:latest", true),
            ("nginx:1.25", false),
            ("localhost:5000/nginx", true),
            ("localhost:5000/nginx:1", false),
            ("registry.k8s.io/pause:3.10", false),
            ("a/b__c/d-e", true),
            (&digest, false),
            ("Nginx", false),
            ("a:b:c", false),
            ("", false),
            ("a b", false),
        ];
        for (image, latest) in cases {
            assert_eq!(is_latest(image), latest, "{image}");
        }
    }
}
