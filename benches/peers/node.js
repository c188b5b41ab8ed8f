// Starts the Node peer, which comes as a module without a command of its own:
//
//   node node.js MODULE LISTEN TARGET [CERT KEY]        or, for its version, node node.js MODULE
'use strict'

const net = require('net')
const [module_path, source, target, cert, key] = process.argv.slice(2)

// The module listens on every address of the machine, whatever it is told. Here every server listens on the
// loopback. It also logs each connection to a console that nobody reads.
const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (port, ...rest) {
  return listen.call(this, port, '127.0.0.1', ...rest)
}

if (source) {
  console.log = () => {}
  require(module_path)({ source, target, cert, key })
} else {
  const { name, version } = require(module_path + '/package.json')
  console.log(`${name} ${version}, node ${process.versions.node}`)
}
