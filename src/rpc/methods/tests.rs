//! What the table says of every RPC, and that it refuses a descriptor set with a gap.

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::FileDescriptorSet;

use super::*;

/// One line per RPC: the doors that are open. A new RPC must be added here.
const EXPECTED: &[(&str, &str)] = &[
    ("/lhfile.v1.AccessService/CreateKey", "key_manage"),
    ("/lhfile.v1.AccessService/ListKeys", "key_manage"),
    ("/lhfile.v1.AccessService/MintToken", "act_as"),
    ("/lhfile.v1.AccessService/RetireKey", "key_manage"),
    ("/lhfile.v1.ChatService/BatchPutChats", "chat_sync"),
    ("/lhfile.v1.ChatService/DeleteChat", "chat_sync"),
    ("/lhfile.v1.ChatService/GetChat", "chat_sync"),
    ("/lhfile.v1.ChatService/ListChats", "chat_sync"),
    ("/lhfile.v1.ChatService/PutChat", "chat_sync"),
    ("/lhfile.v1.ConfigService/DescribeSettings", "use"),
    ("/lhfile.v1.ConfigService/GetSettings", "use"),
    ("/lhfile.v1.ConfigService/UpdateSettings", "use"),
    ("/lhfile.v1.FileService/AttachFile", "use_operator"),
    ("/lhfile.v1.FileService/BatchAttachFile", "use_operator"),
    ("/lhfile.v1.FileService/BatchDeleteFiles", "file_delete file_delete_chat"),
    ("/lhfile.v1.FileService/CreateDownloadLink", "+any_caller"),
    ("/lhfile.v1.FileService/DeleteFile", "file_delete file_delete_chat"),
    ("/lhfile.v1.FileService/DetachFile", "use_operator"),
    ("/lhfile.v1.FileService/DownloadFile", "+link +any_caller"),
    ("/lhfile.v1.FileService/EraseVisitor", "erase"),
    ("/lhfile.v1.FileService/GetFile", "+any_caller"),
    ("/lhfile.v1.FileService/GetUploadOptions", "+any_caller"),
    ("/lhfile.v1.FileService/ListChatFiles", "use_operator +visitors"),
    ("/lhfile.v1.FileService/ListDeletedFiles", "file_restore"),
    ("/lhfile.v1.FileService/ListFiles", "file_list"),
    ("/lhfile.v1.FileService/ListVisitorFiles", "file_list +visitors"),
    ("/lhfile.v1.FileService/PurgeFiles", "erase"),
    ("/lhfile.v1.FileService/UndeleteFile", "file_restore"),
    ("/lhfile.v1.FileService/UpdateFile", "use_operator"),
    ("/lhfile.v1.FileService/UploadFile", "use_operator upload_new_file +visitors"),
    ("/lhfile.v1.MaintenanceService/CancelRun", "maintenance_run"),
    ("/lhfile.v1.MaintenanceService/CheckConsistency", "maintenance_run"),
    ("/lhfile.v1.MaintenanceService/DeleteHold", "legal_hold"),
    ("/lhfile.v1.MaintenanceService/EndRelease", "file_restore"),
    ("/lhfile.v1.MaintenanceService/ExplainFile", "maintenance_run"),
    ("/lhfile.v1.MaintenanceService/GetPlan", "maintenance_run"),
    ("/lhfile.v1.MaintenanceService/GetRun", "maintenance_run"),
    ("/lhfile.v1.MaintenanceService/GetScannerStatus", "maintenance_run"),
    ("/lhfile.v1.MaintenanceService/GetStats", "maintenance_run"),
    ("/lhfile.v1.MaintenanceService/ListHolds", "legal_hold"),
    ("/lhfile.v1.MaintenanceService/ListQuarantine", "maintenance_run file_restore"),
    ("/lhfile.v1.MaintenanceService/ListReleases", "file_restore"),
    ("/lhfile.v1.MaintenanceService/ListRuns", "maintenance_run"),
    ("/lhfile.v1.MaintenanceService/PlanMaintenance", "maintenance_run"),
    ("/lhfile.v1.MaintenanceService/PutHold", "legal_hold"),
    ("/lhfile.v1.MaintenanceService/ReleaseQuarantine", "file_restore"),
    ("/lhfile.v1.MaintenanceService/RepairConsistency", "erase"),
    ("/lhfile.v1.MaintenanceService/Rescan", "maintenance_run"),
    ("/lhfile.v1.MaintenanceService/RunMaintenance", "maintenance_run"),
    ("/lhfile.v1.MaintenanceService/TestAntivirus", "maintenance_run"),
];

fn in_one_line(access: &MethodAccess) -> String {
    let mut doors = access.any_of.clone();
    for (open, name) in [
        (access.visitors, "+visitors"),
        (access.link, "+link"),
        (access.any_caller, "+any_caller"),
        (access.public, "+public"),
    ] {
        if open {
            doors.push(name.to_owned());
        }
    }
    doors.join(" ")
}

/// Our own descriptor set with the options of one RPC taken away. Edited as a dynamic message, which keeps what it does
/// not know; prost-types would drop the options of all RPCs.
fn without_access_of(service: &str, method: &str) -> Vec<u8> {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("our own descriptor set");
    let mut set = DynamicMessage::decode(
        DescriptorPool::global().get_message_by_name("google.protobuf.FileDescriptorSet").expect("well-known"),
        pool.encode_to_vec().as_slice(),
    )
    .expect("our own descriptor set");
    for file in set.get_field_by_name_mut("file").and_then(Value::as_list_mut).expect("files") {
        let file = file.as_message_mut().expect("a file");
        for one in file.get_field_by_name_mut("service").and_then(Value::as_list_mut).expect("services") {
            let one = one.as_message_mut().expect("a service");
            if one.get_field_by_name("name").expect("a name").as_str() != Some(service) {
                continue;
            }
            for rpc in one.get_field_by_name_mut("method").and_then(Value::as_list_mut).expect("methods") {
                let rpc = rpc.as_message_mut().expect("a method");
                if rpc.get_field_by_name("name").expect("a name").as_str() == Some(method) {
                    rpc.clear_field_by_name("options");
                }
            }
        }
    }
    set.encode_to_vec()
}

#[test]
fn every_rpc_is_in_the_table_with_its_declared_doors() {
    let table = MethodTable::read().expect("every RPC declares its access");
    let got: BTreeMap<&str, String> = table.iter().map(|(path, access)| (path, in_one_line(access))).collect();
    let want: BTreeMap<&str, String> = EXPECTED.iter().map(|(path, doors)| (*path, (*doors).to_owned())).collect();
    assert_eq!(got, want);
}

#[test]
fn unknown_path_is_not_in_the_table() {
    let table = MethodTable::read().expect("every RPC declares its access");
    assert_eq!(table.get("/lhfile.v1.FileService/Uploadfile"), None);
    assert_eq!(table.get("/grpc.health.v1.Health/Check"), None);
    assert!(table.get("/lhfile.v1.FileService/UploadFile").is_some_and(|a| a.visitors));
}

#[test]
fn rpc_without_the_option_is_refused_by_name() {
    let gap = without_access_of("FileService", "GetFile");
    let pool = DescriptorPool::decode(gap.as_slice()).expect("still a descriptor set");
    let refused = MethodTable::read_from(pool).expect_err("GetFile has no access option");
    assert!(matches!(&refused, MissingAccess::Rpc { path } if path == "/lhfile.v1.FileService/GetFile"), "{refused}");
    assert!(refused.to_string().starts_with("/lhfile.v1.FileService/GetFile "), "{refused}");
}

#[test]
fn descriptor_set_without_any_option_is_refused() {
    // prost-types drops extensions: what a descriptor set looks like that was written the wrong way.
    let stripped = FileDescriptorSet::decode(DESCRIPTOR_SET).expect("our own descriptor set").encode_to_vec();
    let pool = DescriptorPool::decode(stripped.as_slice()).expect("still a descriptor set");
    assert!(matches!(MethodTable::read_from(pool), Err(MissingAccess::Rpc { .. })));
}

#[test]
fn descriptor_set_is_complete_for_reflection() {
    let set = FileDescriptorSet::decode(DESCRIPTOR_SET).expect("our own descriptor set");
    let names: Vec<&str> = set.file.iter().map(|f| f.name()).collect();
    for import in set.file.iter().flat_map(|f| &f.dependency) {
        assert!(names.contains(&import.as_str()), "{import} is imported and not in the set");
    }
}
