import type { AnyAuthMethod, AuthenticationType, AuthHandlerMiddleware } from 'ssh2';
import { readPrivateKey } from './private-key.js';
import type { SshHop } from './target.js';

/** The ways to log in that a hop has, tried in turn: key, agent, password. */
export class Login {
  readonly #ways: { readonly name: string; readonly takes: AuthenticationType; readonly method: AnyAuthMethod }[] = [];
  readonly #refused: string[] = [];
  #asked: string | null = null;
  #offered: readonly string[] = [];

  /** @throws SluiceError TUNNEL_KEY_UNUSABLE */
  constructor(hop: SshHop) {
    const username = hop.user;
    if (hop.privateKey !== null) {
      const key = readPrivateKey(hop.privateKey, hop.passphrase, hop);
      this.#ways.push({
        name: `the key (${key.type})`,
        takes: 'publickey',
        method: { type: 'publickey', username, key },
      });
    }
    if (hop.agentSocket !== null) {
      const method = { type: 'agent', username, agent: hop.agentSocket } as const;
      this.#ways.push({ name: "the agent's keys", takes: 'publickey', method });
    }
    const { password } = hop;
    if (password !== null) {
      const name = 'the password';
      this.#ways.push({ name, takes: 'password', method: { type: 'password', username, password } });
      // Where PAM asks for it. Only hidden answers are passwords.
      this.#ways.push({
        name,
        takes: 'keyboard-interactive',
        method: {
          type: 'keyboard-interactive',
          username,
          prompt: (_name, _instructions, _language, prompts, answer) =>
            answer(prompts.map(({ echo }) => (echo === true ? '' : password))),
        },
      });
    }
    this.#start = { type: 'none', username };
  }

  readonly #start: AnyAuthMethod;
  #begun = false;

  /** For ssh2. The first question is what the server takes at all, so that no attempt is wasted: servers count them. */
  readonly handler: AuthHandlerMiddleware = (left: AuthenticationType[] | null, partial: boolean | null, next) => {
    if (!this.#begun) {
      this.#begun = true;
      next(this.#start);
      return;
    }
    if (left !== null) this.#offered = left;
    if (this.#asked !== null && partial !== true) this.#refused.push(this.#asked);
    const way = this.#ways.find(({ takes }) => left === null || left.includes(takes));
    if (way === undefined) {
      this.#asked = null;
      // ssh2's types do not know of false, which its documentation asks for at the end.
      Reflect.apply(next, undefined, [false]);
      return;
    }
    // A password that was refused once is not tried by PAM's way, too; nor is a way tried twice.
    this.#ways.splice(
      0,
      this.#ways.length,
      ...this.#ways.filter((other) => other !== way && !(way.takes === 'password' && other.name === way.name)),
    );
    this.#asked = way.name;
    next(way.method);
  };

  /** What was tried, and what the server would take, for the message. */
  get story(): string {
    const refused =
      this.#refused.length === 0 ? 'nothing that is given is asked for' : `${this.#refused.join(' and ')} refused`;
    return this.#offered.length === 0 ? refused : `${refused}; it takes ${this.#offered.join(', ')}`;
  }
}
