export interface ListenAddress {
  /** A name or an address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Takes `host:port` apart, as the schema lets it pass; IPv6 addresses stand in brackets. */
export function parseListenAddress(listen: string): ListenAddress {
  const at = listen.lastIndexOf(':');
  return { host: listen.slice(0, at).replace(/^\[(.*)\]$/, '$1'), port: Number(listen.slice(at + 1)) };
}

/** Whether only this machine reaches the address. A name other than localhost may mean anything, so it does not count. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
