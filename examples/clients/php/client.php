#!/usr/bin/env php
<?php
/**
 * A client of lhfile in PHP, without the gRPC extension: tells a chat, uploads, lists, downloads, and reads why
 * something was refused.
 *
 *     apt-get install php-cli php-curl php-google-protobuf protobuf-compiler libprotobuf-dev
 *     export LHFILE_ADDR=127.0.0.1:50051 LHFILE_TOKEN=...
 *     client.php put-chat 42 active 17
 *     client.php upload report.pdf 42          (without a chat: to the library)
 *     client.php list 42
 *     client.php download FILE_ID out.pdf
 *
 * Prints one JSON object a line. Exit codes: 0 done, 1 failed, 2 usage, 3 refused by the server (the refusal, as JSON,
 * on standard error), 4 server not reachable.
 */

declare(strict_types=1);

use Lhfile\{Grpc, Refusal, Unreachable};
use Lhfile\V1\{Chat, ChatStatus, DownloadFileRequest, DownloadFileResponse, File, ListChatFilesRequest};
use Lhfile\V1\{ListChatFilesResponse, PutChatRequest, PutChatResponse, UploadChunk, UploadCommit, UploadFileRequest};
use Lhfile\V1\{UploadFileResponse, UploadHeader};

const CHUNK = 256 * 1024;

/** Makes the classes from proto/. A program of your own does this once, when it is built. */
function generate(): void
{
    $folder = sys_get_temp_dir() . '/lhfile-php-' . bin2hex(random_bytes(8));
    mkdir($folder, 0700);
    register_shutdown_function(fn () => exec('rm -rf ' . escapeshellarg($folder)));
    $proto = dirname(__DIR__, 3) . '/proto';
    $files = array_map('escapeshellarg', [...glob("$proto/lhfile/v1/*.proto"), __DIR__ . '/refusal.proto']);
    $flags = ['-I' . escapeshellarg($proto), '-I' . escapeshellarg(__DIR__), '--php_out=' . escapeshellarg($folder)];
    exec('protoc ' . implode(' ', [...$flags, ...$files]) . ' >&2', $output, $code);
    $code === 0 || exit(1);
    spl_autoload_register(function (string $class) use ($folder): void {
        foreach ([$folder, '/usr/share/php'] as $root) {
            $file = "$root/" . strtr($class, '\\', '/') . '.php';
            if (is_file($file)) {
                require_once $file;
                return;
            }
        }
    });
}

/** Header, chunks, commit: read from the disk only as fast as the connection takes them. */
function upload(string $path, ?string $chat): Generator
{
    $file = fopen($path, 'rb') ?: throw new RuntimeException("$path cannot be read");
    $header = (new UploadHeader())->setDisplayName(basename($path))->setSizeBytes(filesize($path));
    $chat === null ? $header->setLibrary(true) : $header->setChatId($chat);
    yield (new UploadFileRequest())->setHeader($header);
    $sha256 = hash_init('sha256');
    while (($data = fread($file, CHUNK)) !== '' && $data !== false) {
        hash_update($sha256, $data);
        $crc32c = unpack('N', hash('crc32c', $data, true))[1];
        yield (new UploadFileRequest())->setChunk((new UploadChunk())->setData($data)->setCrc32c($crc32c));
    }
    // Without this nothing is stored, whatever made the stream end.
    yield (new UploadFileRequest())->setCommit((new UploadCommit())->setSha256(hash_final($sha256)));
}

/** Writes a file's bytes to `$path` and answers its row; what is incomplete or wrong is removed again. */
function download(Grpc $grpc, string $fileId, string $path): File
{
    $row = null;
    $sha256 = hash_init('sha256');
    $out = fopen("$path.part", 'wb') ?: throw new RuntimeException("$path cannot be written");
    try {
        $write = function (DownloadFileResponse $answer) use (&$row, $sha256, $out): void {
            if ($answer->hasHeader()) {
                $row = $answer->getHeader()->getFile();
                return;
            }
            $data = $answer->getChunk()->getData();
            hash_update($sha256, $data);
            fwrite($out, $data) === strlen($data) || throw new RuntimeException('the disk is full');
        };
        $request = (new DownloadFileRequest())->setFileId($fileId);
        $grpc->call('FileService/DownloadFile', [$request], DownloadFileResponse::class, $write);
        if ($row === null || hash_final($sha256) !== $row->getSha256()) {
            throw new RuntimeException("$fileId: the bytes received are not those of its row");
        }
        rename("$path.part", $path);
        return $row;
    } finally {
        fclose($out);
        is_file("$path.part") && unlink("$path.part");
    }
}

function show(File $file): void
{
    say(STDOUT, [
        'file_id' => $file->getFileId(),
        'display_name' => $file->getDisplayName(),
        'media_type' => $file->getMediaType(),
        'size_bytes' => (int) $file->getSizeBytes(),
        'sha256' => $file->getSha256(),
        'message_code' => $file->getMessageCode(),
    ]);
}

/** @param resource $stream */
function say($stream, array $object): void
{
    fwrite($stream, json_encode($object, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR) . "\n");
}

function run(Grpc $grpc, array $arguments): void
{
    switch ([$arguments[0] ?? '', count($arguments)]) {
        case ['put-chat', 3]:
        case ['put-chat', 4]:
            $chat = (new Chat())->setChatId($arguments[1])->setOwnerOperator($arguments[3] ?? '');
            $chat->setStatus(ChatStatus::value('CHAT_STATUS_' . strtoupper($arguments[2])));
            $request = (new PutChatRequest())->setChat($chat);
            $chat = $grpc->unary('ChatService/PutChat', $request, PutChatResponse::class)->getChat();
            say(STDOUT, ['chat_id' => $chat->getChatId(), 'version' => (int) $chat->getVersion()]);
            return;
        case ['upload', 2]:
        case ['upload', 3]:
            $requests = upload($arguments[1], $arguments[2] ?? null);
            show($grpc->last('FileService/UploadFile', $requests, UploadFileResponse::class)->getFile());
            return;
        case ['list', 2]:
            $request = (new ListChatFilesRequest())->setChatId($arguments[1]);
            do {
                $page = $grpc->unary('FileService/ListChatFiles', $request, ListChatFilesResponse::class);
                foreach ($page->getFiles() as $file) {
                    show($file);
                }
                $request->setPageToken($page->getNextPageToken());
            } while ($page->getNextPageToken() !== '');
            return;
        case ['download', 3]:
            show(download($grpc, $arguments[1], $arguments[2]));
            return;
        default:
            $usage = 'put-chat CHAT STATUS [OWNER] | upload PATH [CHAT] | list CHAT | download FILE_ID PATH';
            fwrite(STDERR, "usage: client.php $usage\n");
            exit(2);
    }
}

generate();
require __DIR__ . '/Grpc.php';
$addr = getenv('LHFILE_ADDR') ?: '127.0.0.1:50051';
try {
    run(new Grpc(preg_replace('#^http://#', '', $addr), getenv('LHFILE_TOKEN') ?: ''), array_slice($argv, 1));
} catch (Refusal $no) {
    $told = ['code' => $no->getCode(), 'reason' => $no->reason, 'message' => $no->getMessage()];
    say(STDERR, $told + ['metadata' => (object) $no->metadata]);
    exit(3);
} catch (Unreachable $gone) {
    fwrite(STDERR, $gone->getMessage() . "\n");
    exit(4);
} catch (RuntimeException $failed) {
    fwrite(STDERR, $failed->getMessage() . "\n");
    exit(1);
}
