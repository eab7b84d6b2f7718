/** The task begins when it is first asked for; whoever asks again, with whatever arguments, gets what that becomes. */
export function once<Args extends unknown[], Result>(
  task: (...args: Args) => Promise<Result>,
): (...args: Args) => Promise<Result> {
  let begun: Promise<Result> | null = null;
  return (...args) => {
    begun ??= task(...args);
    return begun;
  };
}
