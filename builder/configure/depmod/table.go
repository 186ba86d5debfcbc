package depmod

import (
	"cmp"
	"slices"
	"strings"
)

// sortAsTable puts items in the order in which kmod's hash table goes through
// them: by bucket, and in one bucket by key. It shows in modules.symbols, in
// what has no place in modules.order, and so in the order of dependencies.
func sortAsTable[T any](items []T, buckets uint32, key func(T) string) {
	type placed struct {
		bucket uint32
		key    string
		item   T
	}
	all := make([]placed, len(items))
	for i, item := range items {
		k := key(item)
		all[i] = placed{superFastHash(k) & (buckets - 1), k, item}
	}
	slices.SortFunc(all, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.bucket, b.bucket), strings.Compare(a.key, b.key))
	})
	for i := range all {
		items[i] = all[i].item
	}
}

// superFastHash is Paul Hsieh's (http://www.azillionmonkeys.com/qed/hash.html),
// for a little-endian machine whose char is signed.
func superFastHash(key string) uint32 {
	h := uint32(len(key))
	pair := func(i int) uint32 { return uint32(key[i]) | uint32(key[i+1])<<8 }
	i := 0
	for ; i+4 <= len(key); i += 4 {
		h += pair(i)
		h = h<<16 ^ (pair(i+2)<<11 ^ h)
		h += h >> 11
	}
	switch len(key) - i {
	case 3:
		h += pair(i)
		h ^= h << 16
		h ^= uint32(int8(key[i+2])) << 18
		h += h >> 11
	case 2:
		h += pair(i)
		h ^= h << 11
		h += h >> 17
	case 1:
		h += uint32(int8(key[i]))
		h ^= h << 10
		h += h >> 1
	}
	h ^= h << 3
	h += h >> 5
	h ^= h << 4
	h += h >> 17
	h ^= h << 25
	return h + h>>6
}
