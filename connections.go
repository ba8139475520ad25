// SPDX-License-Identifier: Apache-2.0

package main

// This file: how many connections there may be. A connection is cheap to open
// and may say nothing for as long as it likes; when there are too many, those
// go first from which no request has come, the longest silent before the
// others. A call that is being answered is never cut off for another.

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// connections counts those of one server. It is safe for concurrent use.
type connections struct {
	most int

	mu      sync.Mutex
	at      map[net.Conn]*place
	strange *list.List // of *place: no request yet, the oldest first
	idle    *list.List // of *place: between requests, the longest idle first
}

// place is where one connection stands.
type place struct {
	conn net.Conn
	in   *list.List // nil: a request is being answered
	elem *list.Element
}

func newConnections(most int) *connections {
	return &connections{most: most, at: map[net.Conn]*place{}, strange: list.New(), idle: list.New()}
}

// change is the ConnState of a server.
func (c *connections) change(conn net.Conn, to http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.at[conn]
	switch {
	case to == http.StateNew:
		p = &place{conn: conn}
		c.at[conn] = p
		c.move(p, c.strange)
		if len(c.at) > c.most {
			c.evict()
		}
	case p == nil: // it was made to go
	case to == http.StateActive:
		c.move(p, nil)
	case to == http.StateIdle:
		c.move(p, c.idle)
	default: // closed or hijacked
		c.move(p, nil)
		delete(c.at, conn)
	}
}

// move takes a place out of its list and puts it at the end of another.
func (c *connections) move(p *place, to *list.List) {
	if p.in != nil {
		p.in.Remove(p.elem)
	}
	if p.in = to; to != nil {
		p.elem = to.PushBack(p)
	}
}

// evict makes the one go that is missed least: where every other is being
// answered, the newest.
func (c *connections) evict() {
	for _, from := range []*list.List{c.strange, c.idle} {
		first := from.Front()
		if first == nil || from == c.strange && from.Len() == 1 && c.idle.Len() > 0 {
			continue // the one that has just come is not worse than one that idles
		}
		p := first.Value.(*place)
		c.move(p, nil)
		delete(c.at, p.conn)
		go p.conn.Close() // a TLS connection says goodbye first, which can take seconds
		return
	}
}
