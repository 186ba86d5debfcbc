package coding

import "math/bits"

// number codes 32-bit numbers whose sizes are alike: how many bits there are, then
// the bits below the leading one, of which the first three are told apart by what
// precedes them.
type number struct {
	length [64]chance
	top    [33][8]chance
	low    [33][32]chance
}

func (n *number) reset() {
	even(n.length[:])
	for i := range n.top {
		even(n.top[i][:])
		even(n.low[i][:])
	}
}

func (n *number) code(c *coder, v uint32) uint32 {
	length := bits.Len32(v)
	node := 1
	for i := 5; i >= 0; i-- {
		node = node<<1 | c.bit(&n.length[node], length>>i&1)
	}
	length = min(node-64, 32)
	if length < 2 {
		return uint32(length)
	}
	out := uint32(1)
	for i := length - 2; i >= 0; i-- {
		bit := int(v >> i & 1)
		if out < 8 {
			bit = c.bit(&n.top[length][out], bit)
		} else {
			bit = c.bit(&n.low[length][i], bit)
		}
		out = out<<1 | uint32(bit)
	}
	return out
}

// signed codes a number of either sign: 0, -1, 1, -2, ...
func (n *number) signed(c *coder, v int32) int32 {
	u := n.code(c, uint32(v<<1)^uint32(v>>31))
	return int32(u>>1) ^ -int32(u&1)
}
