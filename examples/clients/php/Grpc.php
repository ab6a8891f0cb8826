<?php
/**
 * gRPC by php-curl alone: HTTP/2, length-prefixed messages both ways, the status out of the trailers.
 * Streams either way in the memory of one message. Needs libcurl with HTTP/2 (Debian's php-curl has it).
 */

declare(strict_types=1);

namespace Lhfile;

use Google\Protobuf\Internal\Message;
use Google\Rpc\ErrorInfo;
use Google\Rpc\Status;

/** The server said no. `$reason` is stable and made to be acted on; the message is for people. */
final class Refusal extends \RuntimeException
{
    /** @param array<string, string> $metadata */
    public function __construct(
        int $code,
        string $message,
        public readonly string $reason,
        public readonly array $metadata,
    ) {
        parent::__construct($message, $code);
    }
}

/** The server was not reached, or broke off. */
final class Unreachable extends \RuntimeException
{
}

final class Grpc
{
    /** CURL_READFUNC_ABORT, which PHP does not name: ends the transfer. */
    private const ENOUGH = 0x10000000;

    public function __construct(private string $addr, private string $token)
    {
    }

    /**
     * Sends the requests one by one as the connection takes them, and hands each answer to `$onAnswer`.
     *
     * @param string $method such as "FileService/UploadFile"
     * @param iterable<Message> $requests one for a unary call, a generator for a stream
     * @param class-string<Message> $answerClass
     */
    public function call(string $method, iterable $requests, string $answerClass, callable $onAnswer): void
    {
        $requests = (static fn () => yield from $requests)();
        $unsent = $received = '';
        $trailers = [];
        $failure = null;
        $curl = curl_init("http://{$this->addr}/lhfile.v1.$method");
        curl_setopt_array($curl, [
            CURLOPT_HTTP_VERSION => CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE,
            CURLOPT_CUSTOMREQUEST => 'POST',
            CURLOPT_UPLOAD => true,
            CURLOPT_HTTPHEADER => ['content-type: application/grpc', 'te: trailers', 'expect:',
                ...($this->token === '' ? [] : ["authorization: Bearer {$this->token}"])],
            CURLOPT_READFUNCTION => function ($curl, $file, int $most) use ($requests, &$unsent, &$failure, &$trailers): string|int {
                if (isset($trailers['grpc-status'])) {
                    return self::ENOUGH; // the answer is there before our end: a refusal, so the rest is not wanted
                }
                try {
                    while ($unsent === '' && $requests->valid()) {
                        $message = $requests->current()->serializeToString();
                        $unsent = "\0" . pack('N', strlen($message)) . $message;
                        $requests->next();
                    }
                } catch (\Throwable $failure) {
                    return "\0"; // an unfinished message: the server stores nothing of such a stream
                }
                $piece = substr($unsent, 0, $most);
                $unsent = substr($unsent, strlen($piece));
                return $piece;
            },
            CURLOPT_WRITEFUNCTION => function ($curl, string $bytes) use (&$received, &$failure, $answerClass, $onAnswer) {
                $received .= $bytes;
                try {
                    while (strlen($received) >= 5) {
                        $end = 5 + unpack('N', $received, 1)[1];
                        if (strlen($received) < $end) {
                            break; // the rest of this message is still to come
                        }
                        $answer = new $answerClass();
                        $answer->mergeFromString(substr($received, 5, $end - 5));
                        $received = substr($received, $end);
                        $onAnswer($answer);
                    }
                } catch (\Throwable $failure) {
                    return 0; // ends the transfer
                }
                return strlen($bytes);
            },
            // libcurl hands trailers over like headers; an answer without messages has its status in the headers.
            CURLOPT_HEADERFUNCTION => function ($curl, string $line) use (&$trailers): int {
                [$name, $value] = array_pad(explode(':', $line, 2), 2, '');
                $trailers[strtolower($name)] = trim($value);
                return strlen($line);
            },
            // libcurl 7.88 does not see by itself that an answer which came early is complete, and waits for the
            // server's next ping.
            CURLOPT_NOPROGRESS => false,
            CURLOPT_PROGRESSFUNCTION => function () use (&$trailers): int {
                return isset($trailers['grpc-status']) ? 1 : 0;
            },
        ]);
        curl_exec($curl);
        if ($failure !== null) {
            throw $failure;
        }
        if (!isset($trailers['grpc-status'])) {
            throw new Unreachable(curl_error($curl) ?: 'the server broke off');
        }
        if ($trailers['grpc-status'] !== '0') {
            throw self::refusal($trailers);
        }
    }

    /** A call with one request and one answer. */
    public function unary(string $method, Message $request, string $answerClass): Message
    {
        return $this->last($method, [$request], $answerClass);
    }

    /** A call whose one answer follows the last request. */
    public function last(string $method, iterable $requests, string $answerClass): Message
    {
        $last = null;
        $this->call($method, $requests, $answerClass, function (Message $answer) use (&$last): void {
            $last = $answer;
        });
        return $last ?? throw new Unreachable('the server answered nothing');
    }

    /** @param array<string, string> $trailers */
    private static function refusal(array $trailers): Refusal
    {
        $status = new Status();
        $status->mergeFromString((string) base64_decode($trailers['grpc-status-details-bin'] ?? ''));
        $reason = '';
        $metadata = [];
        foreach ($status->getDetails() as $detail) {
            if (str_ends_with($detail->getTypeUrl(), '/google.rpc.ErrorInfo')) {
                $info = new ErrorInfo();
                $info->mergeFromString($detail->getValue());
                $reason = $info->getReason();
                foreach ($info->getMetadata() as $key => $value) {
                    $metadata[$key] = $value;
                }
            }
        }
        $message = rawurldecode($trailers['grpc-message'] ?? '');
        return new Refusal((int) $trailers['grpc-status'], $message, $reason, $metadata);
    }
}
