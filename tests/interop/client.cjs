// Asks one BACnet device all that we use, by a stack that is not ours, and prints the answers as JSON.
// Usage: node client.cjs HOST:PORT INSTANCE OWN_PORT

const { default: Client, ApplicationTag, ObjectType, PropertyIdentifier } = require('@bacnet-js/client')

const [address, instance, ownPort] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])]
const device = { address }
const client = new Client({ port: ownPort, interface: '127.0.0.1', apduTimeout: 3000, reuseAddr: false })
const present = PropertyIdentifier.PRESENT_VALUE
const setpoint = { type: ObjectType.ANALOG_VALUE, instance: 1 }
const enable = { type: ObjectType.BINARY_VALUE, instance: 1 }
const sensor = { type: ObjectType.ANALOG_INPUT, instance: 1 }

const plain = (answer) => answer.values.map((value) => value.value)
const read = async (object, property, options) => plain(await client.readProperty(device, object, property, options))
const refused = async (promise) => promise.then(() => 'accepted', (error) => String(error.message))
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

async function main () {
  const found = {}
  const iAm = new Promise((resolve) => client.once('iAm', (content) => resolve(content.payload)))
  client.whoIs(device, { lowLimit: instance, highLimit: instance })
  found.iAm = await iAm
  const objects = await read({ type: ObjectType.DEVICE, instance }, PropertyIdentifier.OBJECT_LIST)
  found.objects = objects.map((object) => [object.type, object.instance])
  found.sensor = await read(sensor, present)
  found.name = await read(sensor, PropertyIdentifier.OBJECT_NAME)
  const many = await client.readPropertyMultiple(device, [
    { objectId: sensor, properties: [{ id: present }, { id: PropertyIdentifier.UNITS }] },
    { objectId: setpoint, properties: [{ id: present }, { id: PropertyIdentifier.RELINQUISH_DEFAULT }] },
    { objectId: enable, properties: [{ id: present }] }
  ])
  found.many = many.values.map((one) => one.values.map((value) => value.value[0].value))
  const everything = await client.readPropertyMultiple(device, [
    { objectId: setpoint, properties: [{ id: PropertyIdentifier.ALL }] }
  ])
  found.everything = everything.values[0].values.length

  const real = (value) => [{ type: ApplicationTag.REAL, value }]
  await client.writeProperty(device, setpoint, present, real(21.5), { priority: 13 })
  await client.writeProperty(device, setpoint, present, real(23), { priority: 8 })
  found.operated = await read(setpoint, present)
  found.array = await read(setpoint, PropertyIdentifier.PRIORITY_ARRAY)
  found.slot = await read(setpoint, PropertyIdentifier.PRIORITY_ARRAY, { arrayIndex: 13 })
  const empty = [{ type: ApplicationTag.NULL, value: null }]
  await client.writeProperty(device, setpoint, present, empty, { priority: 8 })
  found.ours = await read(setpoint, present)
  await client.writeProperty(device, setpoint, present, empty, { priority: 13 })
  found.relinquished = await read(setpoint, present)
  await client.writeProperty(device, enable, present, [{ type: ApplicationTag.ENUMERATED, value: 1 }], { priority: 14 })
  found.enabled = await read(enable, present)
  found.denied = await refused(client.writeProperty(device, sensor, present, real(1), { priority: 13 }))
  found.outOfRange = await refused(client.writeProperty(device, setpoint, present, real(99), { priority: 13 }))
  found.unknown = await refused(read({ type: ObjectType.ANALOG_VALUE, instance: 99 }, present))

  found.reports = { confirmed: [], unconfirmed: [] }
  const told = (list) => (content) => list.push(content.payload.values[0].value[0].value)
  client.on('covNotify', (content) => {
    told(found.reports.confirmed)(content)
    client.simpleAckResponse(content.header.sender, content.service, content.invokeId)
  })
  client.on('covNotifyUnconfirmed', told(found.reports.unconfirmed))
  for (const [process, confirmed] of [[1, true], [2, false]]) {
    await client.subscribeCov(device, setpoint, process, false, confirmed, 60)
  }
  await pause(100)
  await client.writeProperty(device, setpoint, present, real(19.5), { priority: 13 })
  await pause(300)
  await client.subscribeCov(device, setpoint, 1, true, true, 0)
  await client.subscribeCov(device, setpoint, 2, true, false, 0)
  await client.writeProperty(device, setpoint, present, empty, { priority: 13 })
  await pause(100)
  console.log(JSON.stringify(found))
  client.close()
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
