package coding

const (
	knownBits = 14
	scales    = 3
)

// scale is by how many bits two values are near each other.
var scale = [scales]uint{3, 7, 11}

// known remembers how values changed: each, and those near it.
type known struct {
	values [1 << knownBits]fact
	ranges [scales][1 << knownBits]fact
}

// fact is that a value changed by a difference, that many times in a row, up to 3.
type fact struct {
	key   uint32
	by    int32
	times uint8
}

func (k *known) reset() {
	clear(k.values[:])
	for i := range k.ranges {
		clear(k.ranges[i][:])
	}
}

func slot(table *[1 << knownBits]fact, key uint32) *fact {
	return &table[key*0x9e3779b1>>(32-knownBits)]
}

func (f *fact) learn(key uint32, by int32) {
	if f.times > 0 && f.key == key && f.by == by {
		f.times = min(f.times+1, 3)
		return
	}
	*f = fact{key, by, 1}
}

func (f *fact) recall(key uint32) (int32, uint8) {
	if f.times == 0 || f.key != key {
		return 0, 0
	}
	return f.by, f.times
}

// status is 0 for a value never seen, 1 for one that stayed when it was last seen,
// 2 for one that changed.
func (k *known) status(value uint32) int {
	switch by, times := k.exact(value); {
	case times == 0:
		return 0
	case by == 0:
		return 1
	default:
		return 2
	}
}

func (k *known) exact(value uint32) (int32, uint8) { return slot(&k.values, value).recall(value) }

func (k *known) near(i int, value uint32) (int32, uint8) {
	key := value >> scale[i]
	return slot(&k.ranges[i], key).recall(key)
}

func (k *known) stays(value uint32) { *slot(&k.values, value) = fact{value, 0, 1} }

func (k *known) changes(value uint32, by int32) {
	slot(&k.values, value).learn(value, by)
	for i := range k.ranges {
		key := value >> scale[i]
		slot(&k.ranges[i], key).learn(key, by)
	}
}
