#!/usr/bin/env python3
"""A client of lhfile in Python: tells a chat, uploads, lists, downloads, and reads why something was refused.

    pip install grpcio grpcio-status grpcio-tools
    export LHFILE_ADDR=127.0.0.1:50051 LHFILE_TOKEN=...
    client.py put-chat 42 --status active --owner 17
    client.py upload report.pdf --chat 42
    client.py list 42
    client.py download FILE_ID -o out.pdf

Prints one JSON object a line, with the proto's field names. Exit codes: 0 done, 2 usage, 3 refused by the server (the
refusal, as JSON, on standard error), 4 server not reachable.
"""

import argparse
import hashlib
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path

import grpc
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2
from grpc_status import rpc_status

PROTO = Path(__file__).resolve().parents[3] / "proto"
CHUNK = 256 * 1024


def generate(folder):
    """Makes the classes from proto/. A program of your own does this once, when it is built."""
    import grpc_tools
    from grpc_tools import protoc

    well_known = Path(grpc_tools.__file__).parent / "_proto"
    files = [str(path) for path in sorted(PROTO.glob("lhfile/v1/*.proto"))]
    flags = [f"-I{PROTO}", f"-I{well_known}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    if not files or protoc.main(["protoc", *flags, *files]) != 0:
        sys.exit(f"the classes could not be made from {PROTO}")
    sys.path.insert(0, folder)
    names = ("chats_pb2", "chats_pb2_grpc", "files_pb2", "files_pb2_grpc")
    return argparse.Namespace(**{name: importlib.import_module(f"lhfile.v1.{name}") for name in names})


class Client:
    """The calls that a chat backend makes first."""

    def __init__(self, pb, addr, token):
        self.pb = pb
        # A server beyond loopback has TLS: grpc.secure_channel(addr, grpc.ssl_channel_credentials()).
        self.channel = grpc.insecure_channel(addr)
        self.chats = pb.chats_pb2_grpc.ChatServiceStub(self.channel)
        self.files = pb.files_pb2_grpc.FileServiceStub(self.channel)
        self.metadata = [("authorization", f"Bearer {token}")] if token else []

    def put_chat(self, chat_id, status, owner=""):
        status = self.pb.chats_pb2.ChatStatus.Value(f"CHAT_STATUS_{status.upper()}")
        chat = self.pb.chats_pb2.Chat(chat_id=chat_id, status=status, owner_operator=owner)
        return self.chats.PutChat(self.pb.chats_pb2.PutChatRequest(chat=chat), metadata=self.metadata).chat

    def upload(self, path, chat_id=None, name=None, request_id=""):
        """Streams a file to a chat, or to the library; memory stays that of one chunk."""
        return self.files.UploadFile(self._upload(path, chat_id, name, request_id), metadata=self.metadata)

    def _upload(self, path, chat_id, name, request_id):
        pb = self.pb.files_pb2
        target = {"chat_id": chat_id} if chat_id else {"library": True}
        name = name or os.path.basename(path)
        header = pb.UploadHeader(display_name=name, size_bytes=os.path.getsize(path), request_id=request_id, **target)
        yield pb.UploadFileRequest(header=header)
        sha256 = hashlib.sha256()
        with open(path, "rb") as file:
            while data := file.read(CHUNK):
                sha256.update(data)
                yield pb.UploadFileRequest(chunk=pb.UploadChunk(data=data))
        # Without this nothing is stored, whatever made the stream end.
        yield pb.UploadFileRequest(commit=pb.UploadCommit(sha256=sha256.hexdigest()))

    def list(self, chat_id):
        request = self.pb.files_pb2.ListChatFilesRequest(chat_id=chat_id)
        while True:
            page = self.files.ListChatFiles(request, metadata=self.metadata)
            yield from page.files
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def download(self, file_id, path):
        """Writes a file's bytes to `path` and answers its row; what is incomplete or wrong is removed again."""
        request = self.pb.files_pb2.DownloadFileRequest(file_id=file_id)
        part, row, sha256 = f"{path}.part", None, hashlib.sha256()
        try:
            with open(part, "wb") as out:
                for answer in self.files.DownloadFile(request, metadata=self.metadata):
                    if answer.HasField("header"):
                        row = answer.header.file
                    else:
                        sha256.update(answer.chunk.data)
                        out.write(answer.chunk.data)
            if row is None or sha256.hexdigest() != row.sha256:
                raise OSError(f"{file_id}: the bytes received are not those of its row")
            os.replace(part, path)
        finally:
            Path(part).unlink(missing_ok=True)
        return row


def refusal(error):
    """Why a call was refused: the code, and from the status details the stable reason to act on."""
    answer = {"code": error.code().name, "reason": "", "message": error.details(), "metadata": {}}
    status = rpc_status.from_call(error)  # reads the trailer grpc-status-details-bin
    for detail in status.details if status else []:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.domain == "lhfile":
            answer.update(reason=info.reason, metadata=dict(info.metadata))
    return answer


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--addr", default=os.environ.get("LHFILE_ADDR", "127.0.0.1:50051"))
    parser.add_argument("--token", default=os.environ.get("LHFILE_TOKEN", ""))
    commands = parser.add_subparsers(dest="command", required=True)
    put = commands.add_parser("put-chat")
    put.add_argument("chat")
    put.add_argument("--status", choices=["pending", "active", "bot", "closed"], default="active")
    put.add_argument("--owner", default="")
    upload = commands.add_parser("upload")
    upload.add_argument("path")
    upload.add_argument("--chat", help="absent: to the library")
    upload.add_argument("--name")
    upload.add_argument("--request-id", default="")
    commands.add_parser("list").add_argument("chat")
    download = commands.add_parser("download")
    download.add_argument("file_id")
    download.add_argument("-o", "--output", required=True)
    return parser.parse_args()


def run(client, args):
    if args.command == "put-chat":
        yield client.put_chat(args.chat, args.status, args.owner)
    elif args.command == "upload":
        yield client.upload(args.path, args.chat, args.name, args.request_id).file
    elif args.command == "list":
        yield from client.list(args.chat)
    else:
        yield client.download(args.file_id, args.output)


def main():
    args = arguments()
    with tempfile.TemporaryDirectory(prefix="lhfile-py-") as folder:
        client = Client(generate(folder), args.addr.removeprefix("http://"), args.token)
        try:
            for message in run(client, args):
                print(json.dumps(MessageToDict(message, preserving_proto_field_name=True)), flush=True)
        except grpc.RpcError as error:
            answer = refusal(error)
            print(json.dumps(answer), file=sys.stderr)
            return 4 if answer["code"] == "UNAVAILABLE" and not answer["reason"] else 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
