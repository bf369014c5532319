// Calls on one kept connection after answers that come before the body: node's http module.
//
//   node early_answers.mjs http://127.0.0.1:8080 demo demo-demo-demo DEMO [ROUNDS]
//
// Each round sends a request that is refused, its body in a second packet, and then a call that must be answered. Exits with 0
// only if every call was.

import http from 'node:http';

const [base, username, password, organisation, rounds = '25'] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function send(method, path, body, delay) {
    return new Promise((resolve, reject) => {
        const text = JSON.stringify(body);
        const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
        const request = http.request(base + path, { agent, method, headers }, (response) => {
            const parts = [];
            response.on('data', (part) => parts.push(part));
            response.on('end', () => resolve({ status: response.statusCode, text: Buffer.concat(parts).toString() }));
            response.on('error', reject);
        });
        request.on('error', reject);
        request.flushHeaders();
        setTimeout(() => request.end(text), delay);
    });
}

const login = await send('POST', '/v1/authentication/token', { username, password, organisation }, 0);
const token = JSON.parse(login.text).data.token;
const show = { token, access_token_identifier: { authentication_code: '99021047380' }, fields_set: 'number' };
const refused = [
    ['POST', '/nowhere', show, 404],
    ['POST', '/crmapi/rest/v2/access_tokens/nonsense', show, 404],
    ['PUT', '/v1/access_tokens/show', show, 405],
    ['POST', '/crmapi/rest/v2/access_tokens/list', show, 405],
    ['POST', '/v1/access_tokens/show', { ...show, token: 'x' }, 401],
    ['POST', '/v1/access_tokens/create', { token, udf_string_1: 'x'.repeat(100_000) }, 413],
    ['POST', '/docs', show, 405],
];

let failed = 0;
for (let round = 0; round < Number(rounds); round++) {
    const [method, path, body, status] = refused[round % refused.length];
    const answer = await send(method, path, body, round % 3 * 5).catch((error) => ({ status: error.code }));
    const next = await send('POST', '/v1/access_tokens/show', show, round % 2 * 5).catch((error) => ({ status: error.code }));
    if (answer.status !== status || next.status !== 200) {
        failed++;
        console.error(`round ${round}: ${method} ${path} answered ${answer.status}, the next call ${next.status}`);
    }
}
agent.destroy();
console.log(`node: ${rounds} calls after early answers, ${failed} failed`);
process.exit(failed ? 1 : 0);
