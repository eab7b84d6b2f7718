import { describe, expect, it } from 'vitest';
import { ScramSha256 } from '../../../../src/bridge/link/scram-sha-256.ts';

const password = Buffer.from('pencil');
const NONCE = 'rOprNGfwEbeRWgbNEkqO';
const SERVER_NONCE = `${NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0`;
const SERVER_FIRST = `r=${SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`;
const SERVER_FINAL = 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=';

const example = () => new ScramSha256({ username: 'user', password }, NONCE);

describe('SCRAM-SHA-256', () => {
  it('is the exchange of RFC 7677 §3', async () => {
    const scram = example();
    expect(scram.initialData.toString()).toBe(`n,,n=user,r=${NONCE}`);
    expect((await scram.proceed(Buffer.from(SERVER_FIRST))).toString()).toBe(
      `c=biws,r=${SERVER_NONCE},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`,
    );
    expect(() => scram.complete(Buffer.from(SERVER_FINAL))).not.toThrow();
  });

  it.each([
    ['nothing', undefined],
    ['an error', 'e=other-error'],
    ['another signature', 'v=AAriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='],
    ['a shorter signature', 'v=6rriTRBi'],
  ])('a broker that ends with %s has proved nothing', async (_, last) => {
    const scram = example();
    await scram.proceed(Buffer.from(SERVER_FIRST));
    expect(() => scram.complete(last === undefined ? undefined : Buffer.from(last))).toThrow(/did not prove/);
  });

  it('a broker that skips the exchange has proved nothing', () => {
    expect(() => example().complete(Buffer.from(SERVER_FINAL))).toThrow(/did not prove/);
    expect(() => example().complete(Buffer.alloc(0))).toThrow(/did not prove/);
  });

  it.each([
    ['a nonce that is not ours', `r=x${SERVER_NONCE},s=AAAA,i=4096`, /nonce/],
    ['our nonce alone', `r=${NONCE},s=AAAA,i=4096`, /nonce/],
    ['no nonce', 's=AAAA,i=4096', /nonce/],
    ['no salt', `r=${SERVER_NONCE},i=4096`, /salt/],
    ['an iteration count that makes guessing cheap', `r=${SERVER_NONCE},s=AAAA,i=4095`, /iteration/],
    ['an iteration count that keeps us busy for minutes', `r=${SERVER_NONCE},s=AAAA,i=1000001`, /iteration/],
    ['an iteration count that is no number', `r=${SERVER_NONCE},s=AAAA,i=4e3`, /iteration/],
    ['an extension that must be understood', `m=x,${SERVER_FIRST}`, /extension/],
    ['nothing', '', /nonce/],
  ])('refuses %s', async (_, serverFirst, reason) => {
    await expect(example().proceed(Buffer.from(serverFirst))).rejects.toThrow(reason);
  });

  it('goes on once only', async () => {
    const scram = example();
    await scram.proceed(Buffer.from(SERVER_FIRST));
    await expect(scram.proceed(Buffer.from(SERVER_FIRST))).rejects.toThrow(/last step/);
  });

  it('writes names that have its own signs, and prepares text', () => {
    const named = (username: string) => new ScramSha256({ username, password }, 'n').initialData.toString();
    expect(named('a=b,c')).toBe('n,,n=a=3Db=2Cc,r=n');
    // The examples of RFC 4013 §3.
    expect(named('I\u00adX')).toBe('n,,n=IX,r=n');
    expect(named('USER')).toBe('n,,n=USER,r=n');
    expect(named('\u00aa')).toBe('n,,n=a,r=n');
    expect(named('\u2168')).toBe('n,,n=IX,r=n');
    expect(named('a\u00a0b')).toBe('n,,n=a b,r=n');
    expect(() => named('\u0007')).toThrow(/RFC 4013/);
  });

  it('each exchange has a nonce of its own', () => {
    const first = () => new ScramSha256({ username: 'u', password }).initialData.toString();
    expect(first()).not.toBe(first());
  });

  it('the same password in two spellings is the same', async () => {
    const proof = async (text: string) => {
      const scram = new ScramSha256({ username: 'user', password: Buffer.from(text) }, NONCE);
      return (await scram.proceed(Buffer.from(SERVER_FIRST))).toString();
    };
    expect(await proof('pass\u2168')).toBe(await proof('passIX'));
    expect(await proof('pässword')).toBe(await proof('pa\u0308ssword'));
  });

  it('a password of bytes that are no text is taken as it is', async () => {
    const scram = new ScramSha256({ username: 'user', password: Buffer.from([0xff, 0xfe]) }, NONCE);
    await expect(scram.proceed(Buffer.from(SERVER_FIRST))).resolves.toBeInstanceOf(Buffer);
  });
});
