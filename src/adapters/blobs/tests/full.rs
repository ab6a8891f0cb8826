//! What happens when the budget, the reserve or the disk itself ends. The disks here are small ones of their own,
//! mounted for the test: that needs the right to mount, and without it the tests fail.

use std::process::Command;

use super::*;

/// A disk in memory, unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).status();
        assert!(mount.is_ok_and(|status| status.success()), "these tests need the right to mount a tmpfs");
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

fn chunk(len: usize) -> [Bytes; 1] {
    [Bytes::from(vec![1; len])]
}

fn kind(result: std::io::Result<()>) -> Option<std::io::ErrorKind> {
    result.err().map(|e| e.kind())
}

#[tokio::test]
async fn the_budget_counts_all_uploads_and_comes_back_when_they_leave() {
    let root = tempfile::tempdir().unwrap();
    let (spool, blobs) = open(root.path(), SpoolLimits { budget_bytes: 1000, reserve_percent: 0 }).unwrap();
    assert_eq!(spool.room_bytes(), 1000);
    let (mut one, mut two) = (spool.writer(key(1)), spool.writer(key(2)));
    one.write(&chunk(600)).unwrap();
    two.write(&chunk(400)).unwrap();
    assert_eq!(spool.room_bytes(), 0);
    assert_eq!(kind(one.write(&chunk(1))), Some(std::io::ErrorKind::StorageFull));
    assert!(one.write(&[]).is_err() && one.seal().is_err(), "an upload that lost a byte is never whole");
    spool.discard(key(1)).await.unwrap();
    assert_eq!(spool.room_bytes(), 600);
    let upload = two.seal().unwrap();
    upload.sync().unwrap();
    blobs.publish(upload, None).await.unwrap();
    assert_eq!(spool.room_bytes(), 1000);
    drop(spool.writer(key(3)));
    assert_eq!(kind(spool.writer(key(3)).write(&chunk(1001))), Some(std::io::ErrorKind::StorageFull));
    assert_eq!(spool.room_bytes(), 1000, "a refused write is not charged");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_at_once_never_pass_the_budget() {
    let root = tempfile::tempdir().unwrap();
    let (spool, _blobs) = open(root.path(), SpoolLimits { budget_bytes: 100_000, reserve_percent: 0 }).unwrap();
    let writers = (0..16).map(|n| {
        let spool = spool.clone();
        tokio::task::spawn_blocking(move || {
            let mut writer = spool.writer(key(n));
            (0..100).take_while(|_| writer.write(&chunk(100)).is_ok()).count() * 100
        })
    });
    let written: usize = join_all(writers).await.into_iter().map(|n| n.unwrap()).sum();
    assert_eq!((written, spool.room_bytes()), (100_000, 0));
    let lie: u64 = fs::read_dir(root.path().join("spool")).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert_eq!(lie, 100_000);
}

#[tokio::test]
async fn uploads_leave_the_reserve_of_the_disk_free() {
    let disk = SmallDisk::new("1m");
    let (spool, _blobs) = open(disk.path(), SpoolLimits { budget_bytes: 1 << 30, reserve_percent: 50 }).unwrap();
    let room = spool.room_bytes();
    assert!((480 << 10..=512 << 10).contains(&room), "{room}");
    let mut writer = spool.writer(key(1));
    writer.write(&chunk(400 << 10)).unwrap();
    assert_eq!(kind(writer.write(&chunk(200 << 10))), Some(std::io::ErrorKind::StorageFull));
    spool.discard(key(1)).await.unwrap();
    drop(writer);
    // The promise is a second; a busy machine may be late.
    let end = Instant::now() + Duration::from_secs(5);
    while spool.room_bytes() != room {
        assert!(Instant::now() < end, "the room is not looked at");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    spool.writer(key(2)).write(&chunk(400 << 10)).unwrap();
}

#[tokio::test]
async fn a_full_disk_answers_storage_full_and_a_discard_leaves_nothing() {
    let disk = SmallDisk::new("1m");
    let (spool, blobs) = open(disk.path(), ROOMY).unwrap();
    let mut writer = spool.writer(key(1));
    writer.write(&chunk(500 << 10)).unwrap();
    // As if somebody else had filled the disk since we looked: only the write itself can find out.
    spool.0.room.free.store(u64::MAX, SeqCst);
    assert_eq!(kind(writer.write(&chunk(700 << 10))), Some(std::io::ErrorKind::StorageFull));
    assert!(writer.seal().is_err());
    spool.discard(key(1)).await.unwrap();
    assert_eq!(fs::read_dir(disk.path().join("spool")).unwrap().count(), 0);
    assert_eq!(spool.list().await.unwrap(), []);
    kept(&spool, &blobs, key(2), &[2; 800 << 10]).await;
    assert_eq!(read_all(&blobs, key(2), 0..800 << 10).await.unwrap(), vec![2; 800 << 10]);
    fs::write(disk.path().join("filler"), vec![0; 1 << 20]).unwrap_err();
    assert!(matches!(blobs.probe().await, Err(BlobError::NoSpace(_))));
}

#[tokio::test]
async fn spool_and_store_on_two_file_systems_are_refused() {
    let disk = SmallDisk::new("1m");
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("spool")).unwrap();
    let bound = Command::new("mount").arg("--bind").args([disk.path(), &root.path().join("spool")]).status();
    assert!(bound.is_ok_and(|status| status.success()), "this test needs the right to mount");
    let refused = open(root.path(), ROOMY);
    Command::new("umount").arg("--lazy").arg(root.path().join("spool")).status().unwrap();
    assert!(matches!(refused, Err(BlobError::Unavailable(e)) if e.to_string().contains("different file systems")));
}
