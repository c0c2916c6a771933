import type { Config } from '../config/config.js';
import type { ControlSocket } from './control-socket.js';
import type { HttpServer } from './http-server.js';

export interface DoorsDeps {
  readonly listen: (address: string) => Promise<HttpServer>;
  /** Null where the daemon has no control socket at all. */
  readonly openControl: (path: string) => Promise<ControlSocket | null>;
}

interface HttpDoor {
  /** As the config names it. */
  readonly address: string;
  readonly server: HttpServer;
}

/** The doors of another config, open beside those in use. */
export interface OtherDoors {
  /** From now on these are in use. Resolves when the listener that they replace has closed. */
  use(): Promise<void>;
  /** Closes what was opened for them. Never throws. */
  discard(): Promise<void>;
}

/** Where a daemon can be asked: the HTTP listener and the control socket of the config in use. */
export class Doors {
  readonly #deps: DoorsDeps;
  #http: HttpDoor | null = null;
  #control: ControlSocket | null = null;
  /** Sockets of earlier configs, which may still owe an answer. */
  readonly #formerControls: ControlSocket[] = [];

  constructor(deps: DoorsDeps) {
    this.#deps = deps;
  }

  /** First of all: where another daemon runs, nothing else is to be touched. @throws SluiceError DAEMON_RUNNING, LISTEN_FAILED */
  async openControl(config: Config): Promise<void> {
    this.#control = await this.#deps.openControl(config.daemon.socket);
  }

  /** @throws SluiceError LISTEN_FAILED */
  async openHttp(config: Config): Promise<void> {
    const { http } = config.daemon;
    if (http !== null) this.#http = { address: http.listen, server: await this.#deps.listen(http.listen) };
  }

  /**
   * The doors of another config: those there are where path and address stay, else new ones, so that a taken port is told
   * in time.
   * @throws SluiceError DAEMON_RUNNING, LISTEN_FAILED; nothing stays open then
   */
  async prepare(config: Config): Promise<OtherDoors> {
    const unused: (() => Promise<void>)[] = [];
    const discard = async (): Promise<void> => {
      await Promise.allSettled(unused.map((close) => close()));
    };
    try {
      const { socket, http } = config.daemon;
      const control = socket === this.#control?.path ? this.#control : await this.#deps.openControl(socket);
      if (control !== null && control !== this.#control) unused.push(control.close);
      let other = this.#http;
      if (http?.listen !== other?.address) {
        other = http === null ? null : { address: http.listen, server: await this.#deps.listen(http.listen) };
        if (other !== null) unused.push(other.server.close);
      }
      return { discard, use: () => this.#use(control, other) };
    } catch (error) {
      await discard();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#http?.server.close();
    const controls = [...this.#formerControls, ...(this.#control === null ? [] : [this.#control])];
    await Promise.all(controls.map((control) => control.close()));
  }

  async #use(control: ControlSocket | null, http: HttpDoor | null): Promise<void> {
    const formerHttp = this.#http;
    this.#http = http;
    if (control !== this.#control) {
      // Whoever asked for this config may wait for the answer there.
      this.#control?.stopListening();
      if (this.#control !== null) this.#formerControls.push(this.#control);
      this.#control = control;
    }
    if (formerHttp !== http) await formerHttp?.server.close();
  }
}
