/**
 * The bytes that ask a server, on a connection of their own, to cancel what a session runs.
 * @param keyData pg's BackendKeyData message, which a server sends once after the login
 * @returns null when it is no such message
 * @see Postgres docs, "Canceling Requests in Progress"
 */
export function cancelRequestFor(
  keyData: unknown,
): { readonly backendPid: number; readonly request: Uint8Array } | null {
  if (!isKeyData(keyData)) return null;
  return { backendPid: keyData.processID, request: cancelRequest(keyData.processID, keyData.secretKey) };
}

function isKeyData(value: unknown): value is { processID: number; secretKey: number } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'processID' in value &&
    typeof value.processID === 'number' &&
    'secretKey' in value &&
    typeof value.secretKey === 'number'
  );
}

/** CancelRequest: length 16, the code 1234 5678, process and key of the session. */
function cancelRequest(processId: number, secretKey: number): Uint8Array {
  const request = Buffer.alloc(16);
  request.writeInt32BE(16, 0);
  request.writeInt32BE(80_877_102, 4);
  request.writeInt32BE(processId, 8);
  request.writeInt32BE(secretKey, 12);
  return request;
}
