/**
 * What this browser remembers (IndexedDB): keys that cannot be exported, the pinned fingerprint,
 * signed messages that one of the two servers has not confirmed yet, the sessions of passkeys, how far
 * the key holder's log went, and what a clinic needs to read the one opening of a cohort. Never a count.
 */

const NAME = "hushbeat";
const VERSION = 3;
const STORES = ["keys", "pins", "unconfirmed", "sessions", "logs", "cohorts"];

function opened() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      const { objectStoreNames: present } = request.result;
      const missing = STORES.filter((name) => !present.contains(name));
      missing.forEach((name) => request.result.createObjectStore(name));
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function within(store, mode, work) {
  const database = await opened();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(store, mode);
      let result;
      work(transaction.objectStore(store), (value) => (result = value));
      transaction.oncomplete = () => resolve(result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

/** The stored value, or undefined. */
export function read(store, key) {
  return within(store, "readonly", (objects, answer) => {
    objects.get(key).onsuccess = (event) => answer(event.target.result);
  });
}

/** Stores `value` unless something is there already; the answer is what is there now. */
export function keepFirst(store, key, value) {
  return within(store, "readwrite", (objects, answer) => {
    objects.get(key).onsuccess = (event) => {
      const present = event.target.result;
      answer(present ?? value);
      if (present === undefined) objects.put(value, key);
    };
  });
}

export function write(store, key, value) {
  return within(store, "readwrite", (objects) => objects.put(value, key));
}

export function remove(store, key) {
  return within(store, "readwrite", (objects) => objects.delete(key));
}

/** Every [key, value] whose key begins with the prefix. */
export function entries(store, prefix) {
  const range = IDBKeyRange.bound(prefix, `${prefix}\uffff`);
  return within(store, "readonly", (objects, answer) => {
    const found = [];
    answer(found);
    objects.openCursor(range).onsuccess = (event) => {
      const cursor = event.target.result;
      if (!cursor) return;
      found.push([cursor.key, cursor.value]);
      cursor.continue();
    };
  });
}
