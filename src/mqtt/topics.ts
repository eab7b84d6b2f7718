/** Topic Names and Topic Filters: what MQTT allows in them, and which filter matches which name. [MQTT 5.0 §4.7, §4.8.2] */
import { type Breach, checkString } from './strings.ts';

const SHARE = '$share/';

/** A shared subscription's parts: `$share/<name>/<filter>`. */
export interface SharedFilter {
  readonly shareName: string;
  readonly filter: string;
}

/** What MQTT forbids in a Topic Name, or null. */
export function checkTopicName(topic: string): Breach | null {
  if (topic === '') return { predicate: 'is empty; a Topic Name has at least one character', clause: 'MQTT-4.7.3-1' };
  const wildcard = topic.includes('#') ? '#' : topic.includes('+') ? '+' : null;
  if (wildcard !== null) {
    return {
      predicate: `contains the wildcard "${wildcard}", which only a Topic Filter may`,
      clause: 'MQTT-3.3.2-2',
    };
  }
  return checkString(topic);
}

/** What MQTT forbids in a Topic Filter, shared ones included, or null. */
export function checkTopicFilter(filter: string): Breach | null {
  if (isShared(filter)) return checkString(filter) ?? checkShare(filter);
  return checkString(filter) ?? checkLevels(filter);
}

/** Whether a filter is a shared subscription's. Whether it is a valid one, `checkTopicFilter` tells. */
export function isShared(filter: string): boolean {
  return filter.startsWith(SHARE);
}

/** Whether a valid Topic Filter, shared or not, has a wildcard. */
export function hasWildcard(filter: string): boolean {
  return /[+#]/.test(filter);
}

/** The parts of a valid shared filter; null for a filter that is not shared. */
export function parseShared(filter: string): SharedFilter | null {
  if (!isShared(filter)) return null;
  const end = filter.indexOf('/', SHARE.length);
  return end < 0 ? null : { shareName: filter.slice(SHARE.length, end), filter: filter.slice(end + 1) };
}

/** Whether a valid filter matches a Topic Name. For many topics, compile it once. */
export function topicMatches(filter: string, topic: string): boolean {
  return compileFilter(filter)(topic);
}

/**
 * A valid filter as a test of Topic Names. Wildcards at the first level never match a name that begins with `$`
 * [MQTT-4.7.2-1]; `a/#` matches `a` too. A shared filter matches what the filter inside it matches.
 */
export function compileFilter(filter: string): (topic: string) => boolean {
  const own = parseShared(filter)?.filter ?? filter;
  if (own === '#') return (topic) => !isReserved(topic);
  const hasPlus = own.includes('+');
  if (own.endsWith('/#')) {
    const parent = own.slice(0, -2);
    if (!hasPlus)
      return (topic) => topic.startsWith(parent) && (topic.length === parent.length || topic[parent.length] === '/');
    const levels = parent.split('/');
    return (topic) => beginsWithLevels(levels, topic) !== -1;
  }
  if (!hasPlus) return (topic) => topic === own;
  const levels = own.split('/');
  return (topic) => beginsWithLevels(levels, topic) === topic.length;
}

/** Names that begin with `$` are the broker's own. [MQTT 5.0 §4.7.2] */
export function isReserved(topic: string): boolean {
  return topic.startsWith('$');
}

/** Where the levels of a filter, `+` among them, end in a topic that begins with them; -1 if it does not. */
function beginsWithLevels(levels: readonly string[], topic: string): number {
  if (levels[0] === '+' && isReserved(topic)) return -1;
  let end = -1;
  for (const level of levels) {
    if (end === topic.length) return -1;
    const start = end + 1;
    if (level === '+') {
      const separator = topic.indexOf('/', start);
      end = separator < 0 ? topic.length : separator;
    } else {
      end = start + level.length;
      if (!topic.startsWith(level, start) || (end < topic.length && topic[end] !== '/')) return -1;
    }
  }
  return end;
}

function checkShare(filter: string): Breach | null {
  const { shareName, filter: own } = parseShared(filter) ?? { shareName: filter.slice(SHARE.length), filter: null };
  if (shareName === '') {
    return { predicate: 'has no share name: it is "$share/<name>/<filter>"', clause: 'MQTT-4.8.2-1' };
  }
  if (/[+#]/.test(shareName)) {
    return {
      predicate: 'has a wildcard in its share name, where "/", "+" and "#" are forbidden',
      clause: 'MQTT-4.8.2-2',
    };
  }
  if (own === null || own === '') {
    return { predicate: 'has no filter after the share name: it is "$share/<name>/<filter>"', clause: 'MQTT-4.8.2-2' };
  }
  return checkLevels(own);
}

function checkLevels(filter: string): Breach | null {
  if (filter === '')
    return { predicate: 'is empty; a Topic Filter has at least one character', clause: 'MQTT-4.7.3-1' };
  const levels = filter.split('/');
  for (const [index, level] of levels.entries()) {
    if (level.includes('#')) {
      if (level !== '#') {
        return {
          predicate: `has "#" inside the level "${level}"; it stands alone as the last level`,
          clause: 'MQTT-4.7.1-1',
        };
      }
      if (index < levels.length - 1) {
        return { predicate: 'has "#" before its last level; nothing may follow "#"', clause: 'MQTT-4.7.1-1' };
      }
    } else if (level.includes('+') && level !== '+') {
      return { predicate: `has "+" inside the level "${level}"; it takes a whole level`, clause: 'MQTT-4.7.1-2' };
    }
  }
  return null;
}
