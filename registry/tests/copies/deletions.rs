//! Deleting a tag leaves its neighbours alone.

use kiln_registry::{Deleted, delete_digest, delete_tag};

use super::*;

#[tokio::test]
async fn only_the_tag_goes() {
    let Some(registry) = DockerRegistry::start() else {
        return;
    };
    let root = scratch();
    let image = TestImage::new(71, &[1_000]);
    image.write_layout(&root.path().join("l"), "x");
    let layout = Layout::open(&root.path().join("l")).unwrap();
    let writing = at(&registry, "d/app", Access::Push);
    let names = [tag("a"), tag("b")];
    copied(layout, &tag("x"), &writing, &names, &CopyOptions::default()).await;
    let repository = at(&registry, "d/app", Access::Delete);

    let error = delete_digest(&repository, &image.digest(), false)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("a, b"), "{error}");
    let way = delete_tag(&repository, &writing, "a").await.unwrap();
    assert_eq!(way, Deleted::ByDetour);
    assert_eq!(repository.head_manifest(&tag("a")).await.unwrap(), None);
    let left = repository.head_manifest(&tag("b")).await.unwrap().unwrap();
    assert_eq!(left.digest, image.digest());
    let way = delete_tag(&repository, &writing, "b").await.unwrap();
    assert_eq!(way, Deleted::Manifest);
    assert_eq!(repository.head_manifest(&tag("b")).await.unwrap(), None);
    assert!(delete_tag(&repository, &writing, "b").await.is_err());
}
